/** Every runbook, as it stands, against the lab: its situation is brought about, then its blocks are pasted in order. */
import { createHash, randomUUID } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parse } from 'dotenv'
import * as assert from 'uvu/assert'
import { secretsIn } from '../../ops/lib/env.ts'
import { labelAt } from '../../ops/lib/manifest.ts'
import { describe } from '../describe.ts'
import { commit, prepareApp } from '../lab/app.ts'
import { documents, open, post } from '../lab/browser.ts'
import { aloneWith } from '../lab/custodian.ts'
import { deployed } from '../lab/deployed.ts'
import { ops, tryOps } from '../lab/ops.ts'
import { until } from '../lab/shell.ts'
import { sql } from '../lab/sql.ts'
import { labUp, type World } from '../lab/world.ts'
import { type Played, play } from './play.ts'
import { missing, readRunbook } from './runbook.ts'

const limit = 600_000

/** What a reader puts in the place of the runbooks' variables. */
function valuesFor(world: World): Record<string, string> {
  const env = parse(readFileSync(world.env))
  const ssh = (key = '', port = '', known = '', user = '', host = '') =>
    `ssh -i ${key} -p ${port} -o BatchMode=yes -o LogLevel=ERROR -o UserKnownHostsFile=${known} ${user}@${host}`
  return {
    ENV_FILE: world.env,
    SERVER: `${env.SERVER_HOST}`,
    on_server: ssh(
      env.SERVER_SSH_KEY,
      env.SERVER_SSH_PORT,
      env.SERVER_KNOWN_HOSTS,
      env.SERVER_USER,
      env.SERVER_HOST,
    ),
    on_box: ssh(
      env.STORAGEBOX_SSH_KEY,
      env.STORAGEBOX_PORT,
      env.STORAGEBOX_KNOWN_HOSTS,
      env.STORAGEBOX_USER,
      env.STORAGEBOX_HOST,
    ),
    decrypt: decryptWith(env.BACKUP_GPG_HOMEDIR),
  }
}

const decryptWith = (home = '') => `gpg --homedir ${home} --batch --quiet --no-tty --decrypt`

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

/** The lab with a release on it, all kinds of backups, the box protected and kept up with by cron, and a look that found all well. */
async function backedUp(): Promise<World> {
  const world = await deployed()
  await ops(['backup', 'init'])
  await ops(['backup'])
  await shipped(world)
  await ops(['backup', 'status', '--alert'])
  return world
}

/** Waits until all that was committed until now is on the Storage Box, and the newest backup: by cron's process, or before it comes. */
async function shipped(world: World): Promise<void> {
  const wal = await sql(world, 'select pg_walfile_name(pg_switch_wal() - 1)')
  const at = await world.server.exec('date +%s')
  await tryOps(['backup', 'ship', '--once'])
  await until(`the Storage Box to have ${wal}`, 180, async () => {
    const found = await world.storagebox.exec(
      `find /box/everyskill/backups/repository/archive -name '${wal}-*' 2> /dev/null || true`,
    )
    return found === '' ? undefined : true
  })
  await until('a round of ship after that', 180, async () => {
    const last = await world.server.exec(
      'stat -c %Y /var/backups/everyskill/shipping/last 2> /dev/null || echo 0',
    )
    return Number(last) > Number(at) ? true : undefined
  })
}

interface Evidence {
  seq: number
  prev_sha256: string
  type: string
  result: string
  rto_seconds: number
  rpo_seconds: number
}

/** The newest record of a drill or a restore. */
async function newestRecord(world: World): Promise<{ text: string; record: Evidence }> {
  const newest = 'cd /opt/everyskill/evidence/drills; base64 "$(ls | grep "[.]json$" | tail -n 1)"'
  const text = Buffer.from(await world.server.exec(newest), 'base64').toString()
  return { text, record: JSON.parse(text) }
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
    const world = await backedUp()
    const good = await liveSha()
    const bad = await commit('A bad version')
    for (const script of ['build', 'deploy'] as const) await ops([script])
    assert.is(await liveSha(), bad)
    await run('bad-deploy.md', world)
    assert.is(await liveSha(), good)
  })

  test('backup-alert.md', async () => {
    const world = await backedUp()
    await world.server.exec('echo 2026-01-01T00:00:00Z > /var/backups/everyskill/shipping/verified')
    const { code, stderr } = await tryOps(['backup', 'status'])
    assert.is(code, 1)
    assert.match(stderr, 'the last verify is')
    await run('backup-alert.md', world)
  })

  test('restore-data.md', async () => {
    const world = await backedUp()
    const marker = randomUUID()
    await post(world, marker, 'written a second before the table is dropped')
    const before = await documents(world)
    const at = await sql(world, `select to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`)
    await sql(world, 'drop table documents cascade')
    await shipped(world)
    const dump = `$(npx tsx ops/restore-dump.ts list --env "$ENV_FILE" | grep -x '20.*Z' | tail -n 1)`
    const kept = `$(npx tsx ops/restore.ts list --env "$ENV_FILE" | tail -n 1 | cut -d ' ' -f 1)`
    const side = `restored_${labelAt(new Date(at)).toLowerCase()}`
    await run('restore-data.md', world, { AT: at, SIDE: side, DUMP: dump, KEPT: kept })
    assert.is((await open(world, `acme.${world.domain}`, `/api/documents/${marker}`)).status, 200)
    assert.is(await documents(world), before)
  })

  test('server-lost.md', async () => {
    const world = await backedUp()
    const dir = mkdtempSync(join(tmpdir(), 'server-lost-'))
    const { env, home, leave } = await aloneWith(world, 'custodian-a', dir)
    try {
      const { certificate } = await open(world, world.domain, '/')
      const marker = randomUUID()
      await post(world, marker, 'committed a minute before the end')
      const minute = sleep(60_000)
      const before = await documents(world)
      await ops(['backup', 'drill'])
      await ops(['backup', 'files'])
      const last = await newestRecord(world)
      await minute
      await world.server.replace()
      const begun = performance.now()
      await run('server-lost.md', world, { ENV_FILE: env, decrypt: decryptWith(home) })
      const took = (performance.now() - begun) / 1000

      assert.is((await open(world, `acme.${world.domain}`, `/api/documents/${marker}`)).status, 200)
      assert.is(await documents(world), before)
      const page = await open(world, world.domain, '/')
      assert.is(page.certificate.fingerprint256, certificate.fingerprint256)
      const { text, record } = await newestRecord(world)
      console.log(`RTO ${record.rto_seconds} s, RPO ${record.rpo_seconds} s`)
      assert.equal([record.type, record.result], ['disaster_recovery', 'pass'], text)
      assert.ok(record.rto_seconds > 5 && record.rto_seconds <= took, `${record.rto_seconds} of ${took}`)
      assert.ok(record.rpo_seconds > 0, `${record.rpo_seconds}`)
      const hash = createHash('sha256').update(last.text).digest('hex')
      assert.equal([record.seq, record.prev_sha256], [last.record.seq + 1, hash])
    } finally {
      await leave()
      rmSync(dir, { recursive: true })
    }
  })

  test('there is a situation here for each of them', () => {
    const all = readdirSync('runbooks').filter((name) => name.endsWith('.md') && name !== 'README.md')
    const here = readFileSync(import.meta.filename, 'utf8')
    // What takes a whole machine is played there, by test/ops/provision-luks.luks.test.ts.
    const machine = readFileSync('test/runbooks/luks.ts', 'utf8')
    for (const name of all)
      assert.ok(
        here.includes(`run('${name}', world`) || machine.includes(`readRunbook('runbooks/${name}')`),
        name,
      )
  })
})
