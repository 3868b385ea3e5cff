/**
 * Brings the database back: any second since the oldest backup, from the server's own repository or from the Storage Box.
 * By default into a scratch container that is looked at and thrown away. With --in-place beside the live cluster, which is
 * kept when the other one takes its place. With --disaster onto a new server. A portable dump: ops/restore-dump.ts.
 */
import { operator } from './lib/audit.ts'
import { backupNames } from './lib/backups.ts'
import { checksText, refuseWrong } from './lib/checks.ts'
import { keyNames } from './lib/ciphertext.ts'
import { type Call, main } from './lib/cli.ts'
import { liveCluster } from './lib/database.ts'
import { recoverEverything } from './lib/disaster.ts'
import { type Choice, choose, restoreToScratch } from './lib/drilling.ts'
import { readEnv } from './lib/env.ts'
import { drillText } from './lib/evidenced.ts'
import { Fail } from './lib/fail.ts'
import { hostNames, serverOf } from './lib/host.ts'
import { clustersText, dropCluster, keptClusters } from './lib/inplace.ts'
import { withLocks } from './lib/lock.ts'
import { labelAt } from './lib/manifest.ts'
import { refuseDatabase, refuseOpenDisk } from './lib/new-server.ts'
import { recorded } from './lib/recorded.ts'
import { scratchDatabase, startRecovery } from './lib/recovery.ts'
import { freshBackup, mendRepository, putBack, replaceLive, saveRest } from './lib/replacing.ts'
import { isReturning } from './lib/returning.ts'
import { inScratch } from './lib/scratch.ts'
import { rollBackNamed } from './lib/snapshots.ts'
import { serverBox } from './lib/storagebox.ts'
import { apiNames } from './lib/storagebox-api.ts'
import { bringTable, quoted, refuseDead, sideSchema, type TableName, tableName } from './lib/table.ts'
import { targetText, wishOf } from './lib/target.ts'

const help = `
ops/restore.ts: bring the database back, as it was at any second

Restores a backup and replays the changes that were archived after it. Into a scratch
container without a network, where it is looked at: rows against those counted when the
backup was made, every page's checksum, every row and index. Changes nothing that is live.

  tsx ops/restore.ts                          the newest backup, into a scratch container
  tsx ops/restore.ts --at 2026-11-22T10:15Z   the database as it was at that moment
  tsx ops/restore.ts --in-place [--at …]      and put it in the live one's place, which is kept
  tsx ops/restore.ts --undo                   put the cluster back that the last one replaced
  tsx ops/restore.ts --table NAME --at …      bring one table back, into a schema of its own
  tsx ops/restore.ts --disaster               everything onto a new server, until the site answers
  tsx ops/restore.ts list                     clusters that were kept
  tsx ops/restore.ts --discard NAME           delete one of them

  --at TIME         with its time zone
  --set LABEL       begin with this backup (backup.ts list)
  --from box|local  the copy on the Storage Box, or the server's own (default: box; with --in-place local)
  --timeline N      follow another timeline than the backup's own
  --unencrypted     with --disaster: accept a server whose disk is not encrypted
  --snapshot NAME   with --disaster: put the Storage Box back to this snapshot first; asks for its name
  --confirm NAME    what would be typed: the server (SERVER_HOST), the cluster, or the snapshot
  --json            the result as JSON
`

const options = {
  at: { type: 'string' },
  set: { type: 'string' },
  from: { type: 'string' },
  timeline: { type: 'string' },
  'in-place': { type: 'boolean' },
  table: { type: 'string' },
  undo: { type: 'boolean' },
  disaster: { type: 'boolean' },
  unencrypted: { type: 'boolean' },
  snapshot: { type: 'string' },
  discard: { type: 'string' },
  confirm: { type: 'string' },
  json: { type: 'boolean' },
} as const

const wanted = [...hostNames, ...backupNames, ...keyNames, ...apiNames, 'EVIDENCE_KEY'] as const

await main({ help, options, positionals: true }, async ({ flags, words, session }: Call<typeof options>) => {
  const verbs = [flags['in-place'], flags.undo, flags.discard, flags.table, flags.disaster, words[0]]
  if (verbs.filter(Boolean).length > 1 || words.length > 1 || (words[0] && words[0] !== 'list'))
    throw new Fail('usage', 'not understood. See --help')
  const from = flags.from ?? (flags['in-place'] ? 'local' : 'box')
  if (from !== 'box' && from !== 'local') throw new Fail('usage', '--from is box or local')
  if (flags.table && !flags.at)
    throw new Fail('usage', '--table needs --at: the moment to bring it back from')
  if (flags.snapshot && !flags.disaster) throw new Fail('usage', '--snapshot goes with --disaster')
  const wish = wishOf(flags)
  const env = readEnv(flags.env, wanted)
  const server = serverOf(flags.env, env, session)
  const box = serverBox(env)
  const days = Number(env.BACKUP_RETENTION_DAYS)
  const live = liveCluster(server)
  const started = new Date()
  const about: Record<string, string> = {}
  const show = (value: object, text: string) =>
    session.result(flags.json ? JSON.stringify({ ...value, seconds: seconds() }, null, 2) : text)
  const tell = session.dryRun ? () => {} : show
  const seconds = () => Math.round((Date.now() - started.getTime()) / 1000)

  if (words[0] === 'list')
    return show({ kept: await keptClusters(server) }, clustersText(await keptClusters(server)))
  if (flags.disaster) return disaster()
  if (flags.undo) return undo()
  if (flags.discard !== undefined) return discard(flags.discard)
  if (flags.table)
    return holding('restore --table', ['restore'], () => bringBack(tableName(flags.table ?? '')))
  if (flags['in-place']) return inPlace()
  return holding('restore', ['restore'], scratch)

  async function scratch(): Promise<void> {
    const choice = await chosen()
    const checks = await restoreToScratch(server, session, choice)
    tell({ restored: targetText(choice.target), checks }, checksText(checks))
    refuseWrong(checks)
  }

  async function chosen(): Promise<Choice> {
    const choice = await choose(server, session, from === 'box' ? box : undefined, wish)
    Object.assign(about, { restored: targetText(choice.target), from: choice.copy.name })
    return choice
  }

  async function bringBack(table: TableName): Promise<void> {
    await refuseDead(live)
    const { copy, target } = await chosen()
    const into = sideSchema(target.at ?? started)
    const recover = () => startRecovery(server, session, copy, target)
    const start = () => session.step(`restore ${targetText(target)}, recover`, recover)
    const copyOver = () => bringTable(scratchDatabase(server), live, session, table, into)
    const rows = await inScratch(server, start, () => session.step(`copy it into ${into}`, copyOver))
    about.table = quoted({ ...table, schema: into })
    tell({ table: about.table, rows }, `${about.table}: ${rows} rows`)
  }

  async function inPlace(): Promise<void> {
    const what = `The database on ${server.name} will be replaced by ${flags.at ?? flags.set ?? 'its newest backup'}; what is live is kept.`
    await session.confirm(env.SERVER_HOST, what, flags.confirm)
    await holding('restore --in-place', ['deploy', 'backup', 'restore'], async () => {
      const kept = `before-${labelAt(started)}`
      await saveRest(server, session, kept)
      const { target } = await chosen()
      const mend = () => mendRepository(server, session, box, target)
      if (from === 'box') await session.step("mend the server's repository from the box", mend)
      about.kept = kept
      const checks = await replaceLive(server, session, target, kept)
      tell({ restored: targetText(target), kept, checks }, checksText(checks))
      await freshBackup(server, session, days)
      refuseWrong(checks)
      session.say(`Proven? tsx ops/restore.ts --discard ${kept}. Not as it should be? --undo`)
    })
  }

  async function undo(): Promise<void> {
    const kept = (await keptClusters(server)).at(-1)?.name
    if (!kept) throw new Fail('refused', `there is no kept cluster on ${server.name} to go back to`)
    const what = `The database on ${server.name} will be replaced by ${kept}; the present one is kept.`
    await session.confirm(env.SERVER_HOST, what, flags.confirm)
    const undone = `undone-${labelAt(started)}`
    Object.assign(about, { live: kept, kept: undone })
    await holding('restore --undo', ['deploy', 'backup', 'restore'], async () => {
      await putBack(server, session, kept, undone)
      await freshBackup(server, session, days)
    })
  }

  async function discard(name: string): Promise<void> {
    const found = (await keptClusters(server)).find((one) => one.name === name)
    if (!found) throw new Fail('refused', `${name} is not a cluster that a restore kept: restore.ts list`)
    const what = `The cluster ${clustersText([found])} will be deleted for good.`
    await session.confirm(name, what, flags.confirm)
    about.dropped = name
    const drop = () => dropCluster(server, session, name)
    await holding('restore --discard', ['deploy', 'restore'], () => session.step(`delete ${name}`, drop))
  }

  async function disaster(): Promise<void> {
    if (flags.snapshot && !(await isReturning(server))) {
      await refuseOpenDisk(server, session, flags.unencrypted ?? false)
      await refuseDatabase(server)
      await rollBackNamed(flags.env, env, session, flags.snapshot, flags.confirm)
    }
    const latest = !flags.at && !flags.set
    await recoverEverything({
      ...{ server, session, envFile: flags.env, env, started },
      wish: { ...wish, latest },
      openDisk: flags.unencrypted ?? false,
      holding: (work) => holding('restore --disaster', ['deploy', 'backup', 'restore'], work),
      tell: (record) => show(record, drillText(record)),
    })
  }

  /** Holds the locks while the work runs, and writes down how it ended. */
  function holding(action: string, locks: string[], work: () => Promise<void>): Promise<void> {
    const noted = (facts: Record<string, string>) => work().finally(() => Object.assign(facts, about))
    return withLocks(server, session, locks, { who: operator(), what: action }, () =>
      recorded(server, session, action, noted),
    )
  }
})
