import { type Disk, diskFacts } from './disk-use.ts'
import { lastFull } from './due.ts'
import type { Host } from './host.ts'
import { limit, type Verdict } from './lag.ts'
import { boxFacts, databaseFacts, judged, lastDone } from './measuring.ts'
import { type Ages, dutyNames, overdue } from './overdue.ts'
import { repository } from './physical.ts'
import { projected } from './projection.ts'
import type { Session } from './session.ts'
import type { Box } from './storagebox.ts'
import { endOf } from './wal.ts'

/** Everything about the backups that a person may have to know. */
export interface Look {
  at: string
  /** Seconds that committed changes have not been on the Storage Box; null when that could not be found out. */
  lagSeconds: number | null
  newestWal: string | null
  boxPercent: number | null
  /** Segments that wait in pg_wal to be archived. */
  waitingSegments: number
  archiveFails: boolean
  ages: Ages
  /** null when that could not be found out. */
  freeBytes: number | null
  /** Bytes that the retention will come to need on this disk. */
  neededBytes: number | null
  problems: string[]
}

const badPages = 'the newest backup holds pages with a wrong checksum: the disk under the database is failing'
const otherCatalogue =
  'the catalogue on the Storage Box is not the one that this server sent: does another server ship there?'
const limits = { boxPercent: 85, waitingSegments: 16 }

/** Looks at the database, the repository and the Storage Box. What cannot be looked at is a problem like any other. */
export async function look(server: Host, session: Session, box: Box, days: number): Promise<Look> {
  const now = new Date()
  const lost: string[] = []
  const or = <T>(what: string, found: Promise<T>): Promise<T | undefined> =>
    found.catch((error: Error) => {
      lost.push(`${what} does not answer: ${error.message.split('\n').slice(0, 2).join(' ')}`)
      return undefined
    })
  const database = await or('the database', databaseFacts(server))
  const [held, there, done, disk] = await Promise.all([
    or('the repository', repository(server, session)),
    or('the Storage Box', boxFacts(server, session, box, database?.timeline)),
    or('the server', lastDone(server)),
    or("the server's disk", diskFacts(server)),
  ])
  const end = there?.newest ? endOf(there.newest) : 0n
  const both = there && database
  const verdict =
    both && (await or('the lag', judged(server, { at: now.getTime(), lsn: database.lsn, box: end })))
  const backups = held?.backups ?? []
  const good = backups.filter((one) => !one.damaged)
  const dates = {
    ...done,
    backup: good.at(-1)?.stopped,
    boxBackup: good.filter((one) => done?.sent.includes(one.label)).at(-1)?.stopped,
    full: lastFull(backups),
  }
  const age = (date: Date | undefined) => (date ? (now.getTime() - date.getTime()) / 1000 : null)
  const result: Look = {
    at: now.toISOString(),
    lagSeconds: verdict ? verdict.seconds : null,
    newestWal: there?.newest ?? null,
    boxPercent: there?.percent ?? null,
    waitingSegments: database?.waiting ?? 0,
    archiveFails: database?.fails ?? false,
    ages: Object.fromEntries(dutyNames.map((name) => [name, age(dates[name])])) as Ages,
    freeBytes: disk?.free ?? null,
    neededBytes: disk ? projected(backups, days, disk, now) : null,
    problems: [],
  }
  const since = held && (backups[0]?.started ?? null)
  const damaged = backups.at(-1)?.damaged ? [badPages] : []
  const foreign = there?.catalogue === 'other' ? [otherCatalogue] : []
  result.problems = [...lost, ...damaged, ...foreign, ...problemsOf(result, verdict, since, disk)]
  return result
}

/**
 * What of a look is a problem, in words that runbooks/backup-alert.md knows.
 * @param since when the oldest backup was made; null: there is none; undefined: that could not be found out
 */
export function problemsOf(
  look: Look,
  verdict: Verdict | undefined,
  since: Date | null | undefined,
  disk: Disk | undefined,
): string[] {
  const behind = `changes of the last ${verdict?.seconds} s are on this server only (limit ${limit} s): does "backup ship" run, is the box full?`
  return [
    ...(verdict?.broken ? [behind] : []),
    ...(look.archiveFails ? ['PostgreSQL cannot archive its WAL: docker logs of postgres say why'] : []),
    ...(look.waitingSegments >= limits.waitingSegments
      ? [`${look.waitingSegments} WAL segments wait to be archived, and pg_wal grows`]
      : []),
    ...(look.boxPercent !== null && look.boxPercent >= limits.boxPercent
      ? [`the Storage Box is ${look.boxPercent} % full: tsx ops/backup.ts prune, or a larger one`]
      : []),
    ...overdue(look.ages, since),
    ...(disk ? roomProblems(look.neededBytes, disk) : []),
  ]
}

function roomProblems(needed: number | null, { free, reserve, used }: Disk): string[] {
  const mb = (bytes: number) => `${Math.round(bytes / 1024 ** 2)} MB`
  const full = `only ${mb(free)} are free on the server's disk: backups have stopped, the database still writes. Make room`
  const soon = `the backups of the whole retention will need ${mb(needed ?? 0)} on the server's disk, and ${mb(free + used)} are there for them: a larger disk, or a shorter BACKUP_RETENTION_DAYS`
  return [...(free < reserve ? [full] : []), ...(needed !== null && needed > free + used ? [soon] : [])]
}
