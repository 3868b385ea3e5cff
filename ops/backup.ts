/**
 * Everything that makes, moves and proves backups. Cron calls it on the server; the same works from the operator's machine
 * over ssh. No plaintext is written to a disk. On the Storage Box the server only adds; what is old there is deleted by
 * `prune`, from the operator's machine. The way back: ops/restore.ts, and ops/restore-dump.ts for a portable dump.
 */

import { lastWatch, report } from './lib/alerting.ts'
import { operator } from './lib/audit.ts'
import { backupNames, kept, prove } from './lib/backups.ts'
import { everything, everythingText } from './lib/catalogue.ts'
import { keyNames } from './lib/ciphertext.ts'
import { type Call, main } from './lib/cli.ts'
import { runningId } from './lib/compose.ts'
import { runDrill } from './lib/drilling.ts'
import { due, type Job } from './lib/due.ts'
import { readEnv } from './lib/env.ts'
import { drillText } from './lib/evidenced.ts'
import { Fail } from './lib/fail.ts'
import { Host, hostNames, serverOf } from './lib/host.ts'
import { initialise, initNames } from './lib/initialising.ts'
import { doneSoFar, makeStanza, runJobs, tidyUp } from './lib/jobs.ts'
import { withLock } from './lib/lock.ts'
import { lookText } from './lib/look-text.ts'
import { isLabel } from './lib/manifest.ts'
import { goingFromBox, goingText, removeFromBox } from './lib/pruning.ts'
import { installation, recorded } from './lib/recorded.ts'
import { bringRepositoryBack } from './lib/returning.ts'
import { shipForEver } from './lib/ship-loop.ts'
import { shipRound } from './lib/shipping.ts'
import { stackImages } from './lib/stack.ts'
import { adminBox, serverBox } from './lib/storagebox.ts'
import { compareCopies, decryptDump } from './lib/verifying.ts'
import { look } from './lib/watch.ts'

const help = `
ops/backup.ts: back up, ship, verify, drill

Without a word it does what is due: an incremental backup, or a full one when the last
is a day old; then once a day the portable dump, the files and a check of the repository.
Cron needs no other line for backups, and one each for ship, drill and status.

  tsx ops/backup.ts                     what is due
  tsx ops/backup.ts init                once, and after a change of keys: keys, Storage Box, custody
  tsx ops/backup.ts full | incr         a physical backup: any second from it on can be restored
  tsx ops/backup.ts dump                a portable dump, encrypted to keys that are not here
  tsx ops/backup.ts files               certificates, configuration, release records, encrypted
  tsx ops/backup.ts ship                copy what is new to the Storage Box, every 15 s, for ever
  tsx ops/backup.ts verify              compare the repository with its checksums, and the newest dump
  tsx ops/backup.ts verify LABEL        compare both copies of a dump with its manifest
  tsx ops/backup.ts drill               restore the newest backup from the Storage Box, and prove it
  tsx ops/backup.ts status              how far the Storage Box is behind, how old everything is
  tsx ops/backup.ts list                the backups
  tsx ops/backup.ts prune               delete old backups on the Storage Box; from the operator's machine
  tsx ops/backup.ts fetch               the server's repository was lost: bring it back from the Storage Box

  --full          the same as full
  --allow-empty   with dump: accept a database without tables
  --once          with ship: one round
  --alert         with status: post what is news to ALERT_URL
  --decrypt       with verify LABEL: decrypt the box's copy, count the rows; where the private key is
  --image NAME    with --decrypt: the Postgres image to read with (default: the newest one built here)
  --dir DIR       with prune: the backups' folder as the main account sees it (default STORAGEBOX_DIR)
  --share N       with prune: refuse when more than N percent would go (default 40)
  --confirm HOST  what would be typed: with prune the Storage Box's host name, with fetch SERVER_HOST
  --json          with list, verify, drill or status: the result as JSON
`

const options = {
  full: { type: 'boolean' },
  'allow-empty': { type: 'boolean' },
  once: { type: 'boolean' },
  alert: { type: 'boolean' },
  decrypt: { type: 'boolean' },
  image: { type: 'string' },
  dir: { type: 'string' },
  share: { type: 'string', default: '40' },
  confirm: { type: 'string' },
  json: { type: 'boolean' },
} as const

const optional = ['EVIDENCE_KEY', 'STORAGEBOX_ADMIN_USER', 'STORAGEBOX_ADMIN_SSH_KEY'] as const
const wanted = [...hostNames, ...backupNames, ...keyNames, ...optional] as const

await main({ help, options, positionals: true }, async ({ flags, words, session }: Call<typeof options>) => {
  const [verb = flags.full ? 'full' : 'due', label, ...more] = words
  const verbs: Record<string, () => Promise<void>> = {
    due: () => run(),
    init,
    ship,
    verify,
    drill,
    status,
    list,
    prune,
    fetch,
  }
  for (const job of ['full', 'incr', 'dump', 'files'] as const) verbs[job] = () => run([job])
  const work = Object.hasOwn(verbs, verb) ? verbs[verb] : undefined
  if (!work || more.length > 0 || (label && !(verb === 'verify' && isLabel(label))))
    throw new Fail('usage', `${words.join(' ')}: not understood. See --help`)
  const env = readEnv(flags.env, wanted)
  const server = serverOf(flags.env, env, session)
  const box = serverBox(env)
  const days = Number(env.BACKUP_RETENTION_DAYS)
  const context = { server, session, box, env, allowEmpty: flags['allow-empty'] ?? false }
  const quiet = flags.quiet ?? process.env.OPS_QUIET === '1'
  const show = (value: unknown, text: string) =>
    session.result(flags.json ? JSON.stringify(value, null, 2) : text)
  await work()

  function holding<T>(name: 'backup' | 'ship' | 'restore', work: () => Promise<T>): Promise<T> {
    return withLock(server, session, { name, who: operator(), what: `backup ${verb}` }, work)
  }

  async function run(asked?: readonly Job[]): Promise<void> {
    const made = await holding('backup', async () => {
      await makeStanza(context)
      if (!asked) await tidyUp(context)
      return runJobs(asked ?? due(await doneSoFar(context), new Date()), context)
    })
    if (!quiet) show(made, made.join('\n'))
  }

  async function init(): Promise<void> {
    session.result(await initialise(session, flags.env, readEnv(flags.env, initNames)))
    if ((await server.read(runningId('postgres'))) !== '')
      await holding('backup', () => session.step('make the repository', () => makeStanza(context)))
    else session.result('The repository itself is made by the first backup, once a release is deployed.')
  }

  async function ship(): Promise<void> {
    const once = () => session.step('ship', () => shipRound(server, session, box, true))
    await holding('ship', flags.once ? once : () => shipForEver(server, session, box, installation))
  }

  async function verify(): Promise<void> {
    if (!label && !flags.decrypt) await run(['verify'])
    const name = label ?? (await kept(server, 'dumps')).at(-1)?.label
    if (!name && flags.decrypt)
      throw new Fail('refused', 'there is no dump to decrypt: backup.ts dump makes one')
    if (!name) return
    const says = flags.decrypt
      ? await decryptDump(server, session, flags.env, env, name, flags.image)
      : await compareCopies(server, session, box, 'dumps', name)
    const proof = flags.decrypt ? 'decrypted' : 'verified'
    await prove(server, 'dumps', name, proof)
    if (!quiet) show({ label: name, proof, says }, `${name}: ${says}`)
  }

  async function drill(): Promise<void> {
    const signing = { envFile: flags.env, key: env.EVIDENCE_KEY }
    const record = await holding('restore', () =>
      recorded(server, session, 'backup drill', () => runDrill(server, session, box, signing)),
    )
    if (record && !quiet) show(record, drillText(record))
  }

  async function status(): Promise<void> {
    // On a server without a release there is nothing to look at yet.
    if (flags.alert && !(await stackImages(server)).postgres) return
    const found = await look(server, session, box, days)
    const watch = flags.alert ? await report(server, session, found, env.ALERT_URL) : await lastWatch(server)
    if (!quiet) show({ ...found, undelivered: watch?.undelivered ?? null }, lookText(found, watch))
    if (!flags.alert && found.problems.length > 0) throw new Fail('failed', found.problems.join('\n'))
  }

  async function list(): Promise<void> {
    const all = await everything(server, session, box)
    show(all, everythingText(all))
  }

  async function prune(): Promise<void> {
    if (server.isLocal)
      throw new Fail('refused', 'the server may not delete backups: prune from the operator machine')
    if (!/^(100|[1-9]?\d)$/.test(flags.share))
      throw new Fail('usage', `--share ${flags.share}: a number of percent, 0 to 100`)
    const [admin, here] = [adminBox(flags.env, env, flags.dir), new Host('operator', [], session)]
    const going = await goingFromBox(here, server, session, admin, { days, share: Number(flags.share) })
    show(going, goingText(going) || `nothing on the Storage Box is older than ${days} days`)
    if (going.length === 0) return
    const consequence = `These ${going.length} folders will be deleted from the Storage Box for good.`
    await session.confirm(env.STORAGEBOX_HOST, consequence, flags.confirm)
    // --- point of no return ---
    await recorded(server, session, 'backup prune', async (about) => {
      Object.assign(about, { first: going[0]?.name, last: going.at(-1)?.name, count: String(going.length) })
      await removeFromBox(here, session, admin, going)
    })
  }

  async function fetch(): Promise<void> {
    const consequence = `The repository on ${server.name} is put aside, and the Storage Box's takes its place.`
    await session.confirm(env.SERVER_HOST, consequence, flags.confirm)
    await holding('backup', () =>
      recorded(server, session, 'backup fetch', async () => {
        await bringRepositoryBack(server, session, box)
        await session.step('prove that it is of this database', () => makeStanza(context))
      }),
    )
  }
})
