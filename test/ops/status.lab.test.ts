import * as assert from 'uvu/assert'
import { describe } from '../describe.ts'
import { deployed } from '../lab/deployed.ts'
import { ops, tryOps } from '../lab/ops.ts'
import { until } from '../lab/shell.ts'
import type { World } from '../lab/world.ts'
import { answering, ended, liveNow } from './deploy-helpers.ts'

describe('a status', { timeout: 120_000 }, ({ test, before }) => {
  let world: World
  const report = async () => JSON.parse((await tryOps(['status', '--json'])).stdout)
  before(
    async () => {
      world = await deployed()
      await ops(['backup'])
    },
    { timeout: 600_000 },
  )

  test('of a site that is well ends with 0 and tells what runs, as text and as JSON', async () => {
    const { stdout } = await ended(0, 'status', '--json')
    const { server, live, services, answers, certificate, backup, backupKey, diskPercent, problems } =
      JSON.parse(stdout)
    assert.is(server, world.server.address)
    assert.match(live.sha, /^[0-9a-f]{40}$/)
    assert.match(live.colour, /^(blue|green)$/)
    assert.equal(Object.keys(services).sort(), ['caddy', 'postgres', `web-${live.colour}`])
    for (const state of Object.values(services)) assert.match(state as string, /^Up .*\(healthy\)$/)
    assert.is(answers, 200)
    assert.match(certificate.name, /everyskill\.test/)
    assert.ok(certificate.days > 21, certificate.days)
    assert.match(backup.label, /^\d{8}T\d{6}Z$/)
    assert.ok(backup.hours < 1, backup.hours)
    assert.match(backupKey.fingerprint, /^[0-9A-F]{40}$/)
    assert.ok(diskPercent > 0 && diskPercent <= 85, diskPercent)
    assert.equal(problems, [])
    const text = (await ended(0, 'status')).stdout
    for (const part of [live.sha, backup.label, 'certificate', 'disk']) assert.ok(text.includes(part), part)
  })

  test('names a web container and a Caddy that stand still, and ends with 1', async () => {
    const { colour } = await liveNow()
    for (const service of [`web-${colour}`, 'caddy']) {
      const id = await world.server.exec(
        `docker ps -q --filter label=com.docker.compose.project=everyskill --filter label=com.docker.compose.service=${service}`,
      )
      await world.server.exec(`docker stop -t 5 ${id}`)
      const run = await tryOps(['status', '--json'])
      await world.server.exec(`docker start ${id}`)
      assert.is(run.code, 1, run.stderr)
      const { problems, certificate } = JSON.parse(run.stdout)
      assert.match(problems.join('\n'), new RegExp(`${service} is Exited`))
      assert.match(run.stderr, new RegExp(`${service} is Exited`))
      assert.match(problems.join('\n'), /the site (answers|does not answer)/)
      if (service === 'caddy') assert.is(certificate, null)
      await until(`${service} to be healthy`, 60, async () =>
        (await report()).problems.length === 0 ? true : undefined,
      )
    }
    assert.equal(await answering(world), [colour])
  })

  test('with --dry-run is the same: it never changes anything', async () => {
    assert.match((await ended(0, 'status', '--dry-run')).stdout, /^server /)
  })
})
