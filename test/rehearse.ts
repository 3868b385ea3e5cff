/**
 * `npm run rehearse`: the whole job against a disposable server, for real. Builds the fixture app, puts it on an empty
 * server, opens it over HTTPS, deploys a second version under load, backs up, proves the copy on the Storage Box, loses a
 * table, goes back to the second before, rolls back the release.
 * Writes .lab/rehearsal.json; the exit code tells whether all held. The lab stays up.
 */
import { randomUUID } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { nextVersion, prepareApp } from './lab/app.ts'
import { documents, open, post } from './lab/browser.ts'
import { load } from './lab/load.ts'
import { ops } from './lab/ops.ts'
import { until } from './lab/shell.ts'
import { sql } from './lab/sql.ts'
import { labUp, type World } from './lab/world.ts'

interface Step {
  name: string
  seconds: number
  ok: boolean
  proof: string
}

const steps: Step[] = []
const started = performance.now()
let world: World
let standIns: string[] = []

/** Runs one step; what it returns is the proof. The first that fails ends the rehearsal. */
async function step(name: string, work: () => Promise<string>): Promise<void> {
  process.stderr.write(`\n■ ${name}\n`)
  const start = performance.now()
  const seconds = () => Math.round((performance.now() - start) / 100) / 10
  try {
    const proof = await work()
    steps.push({ name, seconds: seconds(), ok: true, proof })
  } catch (error) {
    steps.push({
      name,
      seconds: seconds(),
      ok: false,
      proof: error instanceof Error ? error.message : String(error),
    })
    throw error
  }
}

async function rehearse(): Promise<void> {
  await step('bring up a disposable world', async () => {
    world = await labUp({ fresh: true })
    standIns = world.standIns
    return `empty server at ${world.server.address}`
  })
  await step('build the first version', async () => {
    const sha = await prepareApp()
    await ops(['build'])
    return `four images of ${sha.slice(0, 12)}, proven free of secrets`
  })
  await step('bootstrap the server', async () => {
    await ops(['bootstrap'])
    return (
      await world.server.exec('/opt/everyskill/node/bin/node --version; wc -l < /etc/cron.d/everyskill')
    ).replace('\n', ', crontab lines: ')
  })
  await step('deploy it', async () => (await ops(['deploy'])).trim())
  await step('open it over HTTPS', async () => {
    const { status, body, certificate } = await open(world, `acme.${world.domain}`, '/')
    expect(
      status === 200 && body.includes('acme') && body.includes('rev-1'),
      `HTTP ${status}: ${body.slice(0, 200)}`,
    )
    const names = certificate.subjectaltname ?? ''
    expect(names.includes(`*.${world.domain}`), `not a wildcard certificate: ${names}`)
    expect(/Pebble/.test(String(certificate.issuer.CN)), `not issued by Pebble: ${certificate.issuer.CN}`)
    return `tenant acme, ${names}, issued by ${certificate.issuer.CN} through DNS-01`
  })
  await step('deploy a second version under load', async () => {
    await nextVersion('rev-2')
    await ops(['build'])
    const measured = await load({ world, rate: 105, during: () => ops(['deploy']) })
    const { body } = await open(world, `acme.${world.domain}`, '/')
    expect(body.includes('rev-2'), 'the second version does not answer')
    expect(measured.sent > 500, `only ${measured.sent} requests were sent: the load proves nothing`)
    expect(
      measured.failed === 0,
      `${measured.failed} of ${measured.sent} requests failed: ${JSON.stringify(measured.errors)}`,
    )
    const written = await sql(world, "select count(*), max(attempts) from documents where body like 'load %'")
    expect(
      written === `${measured.accepted.length}|1`,
      `of ${measured.accepted.length} writes the database has ${written}`,
    )
    return `${measured.sent} requests at ${Math.round(measured.sent / measured.seconds)}/s, 0 failed, each of ${measured.accepted.length} writes there once, p99 ${Math.round(measured.p99)} ms, max ${Math.round(measured.max)} ms`
  })
  await step('back up', async () => {
    await ops(['backup', 'init'])
    return lines(await ops(['backup']))
  })
  const marker = randomUUID()
  await step('wait until the Storage Box has it all', async () => {
    // Committed after the backup: only the WAL has it. Nobody but cron ships.
    await post(world, marker, 'written after the backup')
    const committed = performance.now()
    const seconds = () => Math.round((performance.now() - committed) / 1000)
    const [wal] = (
      await sql(
        world,
        "select pg_walfile_name(pg_logical_emit_message(false, 'rehearsal', 'mark')); select pg_switch_wal()",
      )
    ).split('\n')
    const archive = '/box/everyskill/backups/repository/archive/everyskill'
    await until(`${wal} on the Storage Box`, 120, async () =>
      (await world.storagebox.exec(`find ${archive} -name '${wal}-*' 2> /dev/null || true`)) === ''
        ? undefined
        : true,
    )
    const came = seconds()
    // WAL goes first; the catalogue, without which no backup is found, goes last.
    const sum = 'sha256sum < backup/everyskill/backup.info 2> /dev/null || true'
    await until('the catalogue on the Storage Box', 120, async () => {
      const theirs = await world.storagebox.exec(`cd /box/everyskill/backups/repository && ${sum}`)
      const ours = await world.server.exec(`cd /var/backups/everyskill/repository && ${sum}`)
      return theirs === ours ? true : undefined
    })
    return `${wal} came ${came} s after the commit, and all else within ${seconds()} s, by cron's own hand`
  })
  await step('drill', async () => lines(await ops(['backup', 'drill'])))
  const before = await documents(world)
  const moment = new Date().toISOString()
  await step('lose a table', async () => {
    await world.server.exec(
      `docker exec $(docker ps -q --filter label=com.docker.compose.service=postgres) psql -U postgres -d everyskill -qc 'drop table documents cascade'`,
    )
    const { status } = await open(world, `acme.${world.domain}`, `/api/documents/${marker}`)
    expect(status >= 500, `the table is gone, yet the app answered ${status}`)
    return `documents is gone, the app answers ${status}`
  })
  await step('bring it back', async () => {
    const back = ['--in-place', '--at', moment, '--confirm', world.server.address]
    await ops(['restore', ...back])
    const { status } = await open(world, `acme.${world.domain}`, `/api/documents/${marker}`)
    const after = await documents(world)
    expect(
      status === 200 && after === before,
      `the marker answers ${status}, ${after} documents of ${before}`,
    )
    return `${after} documents of ${before} are back, as of ${moment}, the marker among them`
  })
  await step('roll back', async () => {
    await ops(['deploy', '--rollback'])
    const { status, body } = await open(world, `acme.${world.domain}`, '/')
    expect(status === 200 && body.includes('rev-1'), `HTTP ${status}: ${body.slice(0, 200)}`)
    return 'rev-1 answers again, without a build'
  })
  await step('ask for the status', async () => {
    await ops(['backup', 'status', '--alert'])
    return lines(await ops(['status']))
  })
}

const lines = (text: string) => text.trim().split('\n').join('; ')

function expect(holds: boolean, otherwise: string): void {
  if (!holds) throw new Error(otherwise)
}

function table(): string {
  const width = Math.max(...steps.map((s) => s.name.length))
  const rows = steps.map(
    (s) =>
      `${s.ok ? '✓' : '✗'} ${s.name.padEnd(width)} ${s.seconds.toFixed(1).padStart(6)} s  ${s.proof.split('\n')[0]}`,
  )
  return rows.join('\n')
}

try {
  await rehearse()
} catch (error) {
  process.stderr.write(`\n${error instanceof Error ? error.message : String(error)}\n`)
}
const ok = steps.length > 0 && steps.every((s) => s.ok)
mkdirSync('.lab', { recursive: true })
writeFileSync('.lab/rehearsal.json', `${JSON.stringify({ ok, steps, standIns }, null, 2)}\n`)
console.log(`\n${table()}\n`)
console.log(`stand-ins: ${standIns.join(', ') || 'none'}`)
console.log(
  `${ok ? 'All held' : 'It did not hold'} after ${Math.round((performance.now() - started) / 1000)} s. The lab is still up: npm run lab:down`,
)
process.exitCode = ok ? 0 : 1
