import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { describe } from '../describe.ts'
import { attempted } from '../lab/begin.ts'
import { asCron, loud, quiet } from '../lab/cron.ts'
import { deployed } from '../lab/deployed.ts'
import { ops, tryOps } from '../lab/ops.ts'
import { until } from '../lab/shell.ts'
import type { World } from '../lab/world.ts'
import { answering, ended, envWith, liveNow } from './deploy-helpers.ts'

const watch = '/var/backups/everyskill/shipping/watch.json'

describe('a status', { timeout: 120_000 }, ({ test, before, after }) => {
  let world: World
  const report = async () => JSON.parse((await tryOps(['status', '--json'])).stdout)
  before(
    async () => {
      world = await deployed()
      // Cron runs the copy on the server: make it this one. Its looks come when the test wants them.
      await ops(['bootstrap'])
      await quiet(world)
      for (const words of [['init'], [], ['ship', '--once']]) await ops(['backup', ...words])
    },
    { timeout: 1_000_000 },
  )
  after(() => loud(world))

  test('of a site that is well ends with 0 and tells what runs, as text and as JSON', async () => {
    const begun = Date.now()
    assert.is(await asCron(world, /status --alert/), '')
    const { stdout } = await ended(0, 'status', '--json')
    const {
      server,
      live,
      services,
      answers,
      certificate,
      backups,
      backupKey,
      unprotected,
      diskPercent,
      problems,
    } = JSON.parse(stdout)
    assert.is(server, world.server.address)
    assert.match(live.sha, /^[0-9a-f]{40}$/)
    assert.match(live.colour, /^(blue|green)$/)
    assert.equal(Object.keys(services).sort(), ['caddy', 'postgres', `web-${live.colour}`])
    for (const state of Object.values(services)) assert.match(state as string, /^Up .*\(healthy\)$/)
    assert.is(answers, 200)
    assert.match(certificate.name, /everyskill\.test/)
    assert.ok(certificate.days > 21, certificate.days)
    assert.equal([backups.problems, backups.undelivered], [[], undefined])
    assert.ok(Date.parse(backups.at) >= begun, backups.at)
    assert.equal(unprotected, [])
    assert.match(backupKey.fingerprint, /^[0-9A-F]{40}$/)
    assert.ok(diskPercent > 0 && diskPercent <= 85, diskPercent)
    assert.equal(problems, [])
    const text = (await ended(0, 'status')).stdout
    for (const part of [live.sha, `good, looked at ${backups.at}`, 'certificate', 'disk'])
      assert.ok(text.includes(part), part)
  })

  test('shows what the last look at the backups found, and says when nobody looks', async () => {
    // Cron looks too, and would write over what is put there.
    await quiet(world)
    await world.server.exec(`cp ${watch} ${watch}.kept`)
    const now = new Date().toISOString()
    const looks: [string, RegExp][] = [
      [
        JSON.stringify({
          at: now,
          problems: ['the last full is 27.0 hours old'],
          undelivered: 'it answered 500',
        }),
        /^error: the last full is 27\.0 hours old\nan alert was not delivered: it answered 500$/m,
      ],
      [
        JSON.stringify({ at: new Date(Date.now() - 11 * 60_000).toISOString(), problems: [] }),
        /nobody has looked at the backups for 11 minutes: does cron run/,
      ],
      ['{"damaged', /nobody looked at the backups yet/],
      ['', /nobody looked at the backups yet: tsx ops\/backup\.ts status --alert/],
    ]
    try {
      for (const [look, said] of looks) {
        await world.server.exec(`printf %s '${look}' > ${watch}`)
        assert.match((await ended(1, 'status')).stderr, said)
      }
      await world.server.exec(`rm ${watch}`)
      const { stdout } = await ended(1, 'status', '--json')
      assert.is(JSON.parse(stdout).backups, null)
    } finally {
      await world.server.exec(`mv ${watch}.kept ${watch}`)
      await loud(world)
    }
    await ended(0, 'status')
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

  test("tells all the rest when Hetzner's API does not answer, and that it does not", async () => {
    const dir = mkdtempSync(join(tmpdir(), 'status-test-'))
    try {
      const env = envWith(world, join(dir, 'env'), { HETZNER_API: 'https://127.0.0.1:9/v1' })
      const { code, stdout } = await attempted(env, ['status', '--json'])
      assert.is(code, 1)
      const { answers, problems } = JSON.parse(stdout)
      assert.is(answers, 200)
      assert.is(problems.length, 1)
      assert.match(problems[0], /127\.0\.0\.1:9|ECONNREFUSED/)
    } finally {
      rmSync(dir, { recursive: true })
    }
  })

  test('with --dry-run is the same: it never changes anything', async () => {
    assert.match((await ended(0, 'status', '--dry-run')).stdout, /^server /)
  })
})
