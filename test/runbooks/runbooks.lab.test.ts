/** Every runbook, as it stands, against the lab: its situation is brought about, then its blocks are pasted in order. */
import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { parse } from 'dotenv'
import * as assert from 'uvu/assert'
import { secretsIn } from '../../ops/lib/env.ts'
import { describe } from '../describe.ts'
import { commit, prepareApp } from '../lab/app.ts'
import { documents, open, post } from '../lab/browser.ts'
import { deployed } from '../lab/deployed.ts'
import { ops } from '../lab/ops.ts'
import { labUp, type World } from '../lab/world.ts'
import { type Played, play } from './play.ts'
import { missing, readRunbook } from './runbook.ts'

const limit = 600_000

/** What a reader puts in the place of the runbooks' variables. */
function valuesFor(world: World): Record<string, string> {
  const env = parse(readFileSync(world.env))
  const pinned = `-o BatchMode=yes -o LogLevel=ERROR -o UserKnownHostsFile=${env.SERVER_KNOWN_HOSTS}`
  return {
    ENV_FILE: world.env,
    SERVER: `${env.SERVER_HOST}`,
    on_server: `ssh -i ${env.SERVER_SSH_KEY} -p ${env.SERVER_SSH_PORT} ${pinned} ${env.SERVER_USER}@${env.SERVER_HOST}`,
  }
}

async function run(name: string, world: World, more: Record<string, string> = {}): Promise<void> {
  const played = await play(readRunbook(`runbooks/${name}`), { ...valuesFor(world), ...more }, limit / 1000)
  tellsApart(played)
  const secrets = Object.entries(secretsIn(world.env))
  for (const { block, printed } of played)
    for (const [secret, value] of secrets) assert.not.ok(printed.includes(value), `${block.line}: ${secret}`)
}

/** The control: had any line of the expected output been another one, the run would have failed. */
function tellsApart(played: Played[]): void {
  for (const { block, printed } of played) {
    block.expected.forEach((line, i) => {
      if (/^\s*…\s*$/.test(line)) return
      const changed = block.expected.with(i, `${line} but not so`)
      assert.is.not(missing(changed, printed).length, 0, `${block.line}: ${line}`)
    })
  }
}

async function liveSha(): Promise<string> {
  return JSON.parse(await ops(['status', '--json'])).live.sha
}

describe('the runbooks in the lab', { timeout: limit }, ({ test }) => {
  test('first-deploy.md', async () => {
    const world = await labUp({ fresh: true })
    await prepareApp()
    await run('first-deploy.md', world)
    const { status, body } = await open(world, `acme.${world.domain}`, '/')
    assert.ok(status === 200 && body.includes('acme'), `HTTP ${status}`)
  })

  test('bad-deploy.md', async () => {
    const world = await deployed()
    await ops(['backup'])
    const good = await liveSha()
    const bad = await commit('A bad version')
    for (const script of ['build', 'deploy'] as const) await ops([script])
    assert.is(await liveSha(), bad)
    await run('bad-deploy.md', world)
    assert.is(await liveSha(), good)
  })

  test('restore-data.md', async () => {
    const world = await deployed()
    const marker = randomUUID()
    await post(world, marker, 'written before the backup')
    const before = await documents(world)
    const { label } = JSON.parse(await ops(['backup', '--json']))
    const postgres = 'docker ps -q --filter label=com.docker.compose.service=postgres'
    const drop = 'drop table documents cascade'
    await world.server.exec(`docker exec $(${postgres}) psql -U postgres -d everyskill -qc '${drop}'`)
    const kept = `npx tsx ops/restore.ts list --env "$ENV_FILE" | sed -n 's/^kept: \\([^ ]*\\) .*/\\1/p' | tail -n 1`
    await run('restore-data.md', world, { LABEL: label, KEPT: `$(${kept})` })
    assert.is((await open(world, `acme.${world.domain}`, `/api/documents/${marker}`)).status, 200)
    assert.is(await documents(world), before)
  })

  test('there is a situation here for each of them', () => {
    const all = readdirSync('runbooks').filter((name) => name.endsWith('.md') && name !== 'README.md')
    const here = readFileSync(import.meta.filename, 'utf8')
    for (const name of all) assert.ok(here.includes(`run('${name}', world`), name)
  })
})
