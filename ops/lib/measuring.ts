import { newestKept } from './backups.ts'
import { liveCluster, query } from './database.ts'
import { lastPassed } from './evidence.ts'
import { attempt, codes } from './exclusive.ts'
import type { Host } from './host.ts'
import { judge, type Lag, type Verdict } from './lag.ts'
import { paths } from './paths.ts'
import { stanza } from './pgbackrest.ts'
import type { Session } from './session.ts'
import { lines, sh } from './sh.ts'
import { stateIn } from './state.ts'
import { type Box, boxShell } from './storagebox.ts'
import { isSegment, position } from './wal.ts'

const lagFile = `${paths.shipping}/lag.json`

/** Judges how far the box is behind, and keeps what the next look has to know. */
export async function judged(server: Host, now: Parameters<typeof judge>[0]): Promise<Verdict> {
  const verdict = judge(now, await stateIn<Lag>(server, lagFile))
  await server.put(lagFile, JSON.stringify(verdict.lag))
  if (verdict.ask) await query(liveCluster(server), 'postgres', 'select pg_switch_wal()')
  return verdict
}

/** Seconds that changes had not been on the box at the watch's last look; null: it has not looked yet. */
export async function knownLag(server: Host): Promise<number | null> {
  const lag = await stateIn<Lag>(server, lagFile)
  if (!lag) return null
  return lag.since === undefined ? 0 : Math.max(0, Math.round((Date.now() - lag.since) / 1000))
}

/** Where the database's WAL ends, and how its archiving goes. */
export async function databaseFacts(
  server: Host,
): Promise<{ lsn: bigint; timeline: string; waiting: number; fails: boolean }> {
  const sql = `select pg_current_wal_lsn(), (select count(*) from pg_ls_archive_statusdir() where name like '%.ready'),
coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false),
substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) from pg_stat_archiver`
  const [row = ''] = await query(liveCluster(server), 'postgres', sql, 60)
  const [lsn = '', waiting, fails, timeline = ''] = row.split('\t')
  return { lsn: position(lsn), timeline, waiting: Number(waiting), fails: fails === 't' }
}

/** What lies on the Storage Box. */
export interface BoxFacts {
  /** The file of the newest segment. */
  newest: string | undefined
  /** How full it is. */
  percent: number
  /** Whether its catalogue is the one that this server sent last. */
  catalogue: 'same' | 'other' | 'none'
}

/**
 * The newest segment on the box, and how full it is.
 * @param timeline the database's, eight digits; segments of another one tell nothing of it. Undefined: any
 * @throws Fail `noConnection`
 */
export async function boxFacts(
  server: Host,
  session: Session,
  box: Box,
  timeline: string | undefined,
): Promise<BoxFacts> {
  const archive = `${box.dir}/repository/archive/${stanza}`
  const text = await attempt(
    server,
    session,
    lines(
      boxShell(box),
      sh`export LC_ALL=C
box df -P ${box.dir} | awk 'END { sub("%", "", $5); print $5 }'
newest() { local names; names=$(box ls "$1") || if [ $? -eq ${codes.noConnection} ]; then exit ${codes.noConnection}; fi; grep -E "$2" <<< "$names" | sort "\${@:3}" | tail -n 1; }
info=$(box sha256sum ${`${box.dir}/repository/backup/${stanza}/backup.info`} 2> /dev/null | cut -d " " -f 1) || if [ $? -eq ${codes.noConnection} ]; then exit ${codes.noConnection}; fi
sent=$(sha256sum ${paths.shipping}/{sent,next}/backup.info 2> /dev/null || true)
if [ -z "$info" ] || [ -z "$sent" ]; then echo none; elif [[ $sent == *$info* ]]; then echo same; else echo other; fi
# Nothing there yet is no error; a box that went away is.
none() { if [ $? -eq ${codes.noConnection} ]; then exit ${codes.noConnection}; else exit 0; fi; }
id=$(newest ${archive} '^[0-9]+-[0-9]+$' -t - -k 2 -n) || none
folder=$(newest ${`${archive}/`}"$id" ${`^${timeline ?? '[0-9A-F]{8}'}[0-9A-F]{8}$`}) || none
newest ${`${archive}/`}"$id/$folder" '^[0-9A-F]{24}-' || none`,
    ),
    { timeout: 60, changes: false },
  )
  const [percent = '', catalogue = '', newest = ''] = text.split('\n')
  return {
    newest: isSegment(newest) ? newest : undefined,
    percent: Number(percent),
    catalogue: catalogue as BoxFacts['catalogue'],
  }
}

/** When each thing was last done; undefined: never. */
export interface LastDone
  extends Record<'dump' | 'files' | 'verify' | 'drill' | 'dumpDrill', Date | undefined> {
  /** The backups in the catalogue that the Storage Box got last. */
  sent: string[]
}

/** Asks the server for what the repository's catalogue does not tell. */
export async function lastDone(server: Host): Promise<LastDone> {
  const [dump, files, facts, drill, dumpDrill] = await Promise.all([
    newestKept(server, 'dumps'),
    newestKept(server, 'files'),
    server.read(
      sh`cd ${paths.shipping} 2> /dev/null || exit 0; head -n 1 verified 2> /dev/null || echo; sed 's/[.]json$//' sent/records 2> /dev/null || true`,
    ),
    lastPassed(server, 'restore_drill'),
    lastPassed(server, 'dump_drill', 'dump_reading'),
  ])
  const [verify = '', ...sent] = facts.split('\n')
  return { dump, files, verify: verify === '' ? undefined : new Date(verify), drill, dumpDrill, sent }
}
