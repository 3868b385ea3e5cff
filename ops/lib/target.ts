import { Fail } from './fail.ts'
import type { PhysicalBackup, Repository } from './pgbackrest.ts'
import type { SetRecord } from './set.ts'
import { timelineOf } from './wal.ts'

/** What an operator asks for; nothing: the newest backup. */
export interface Wish {
  at?: Date | undefined
  set?: string | undefined
  timeline?: number | undefined
  /** Everything that was archived. */
  latest?: boolean | undefined
}

/** What a restore brings back: a backup, and how far the archive is replayed on it. */
export interface Target {
  set: PhysicalBackup
  /** The moment asked for; undefined: a backup as it was made, or the end of the archive. */
  at: Date | undefined
  /** Everything that was archived. */
  latest: boolean
  /** The restore point; its record tells what is there. */
  record: SetRecord | undefined
  /** Number of the timeline to follow; undefined: the one that the backup was made on. */
  timeline: number | undefined
  /** The last WAL segment that can be needed; undefined: all there are. */
  until: string | undefined
}

/**
 * Reads a moment. @throws Fail `usage` when it is none, or says no time zone: at 3 a.m. nobody remembers which one was meant
 */
export function moment(text: string): Date {
  const good = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:?\d\d)$/.test(text)
  const date = new Date(text.replace(' ', 'T'))
  // A Date takes 30 February for 2 March.
  const day = new Date(`${text.slice(0, 10)}T00:00Z`)
  const real = !Number.isNaN(day.getTime()) && day.toISOString().startsWith(text.slice(0, 10))
  if (good && real && !Number.isNaN(date.getTime())) return date
  throw new Fail('usage', `--at ${text}: a moment with its time zone, such as 2026-11-22T10:15:00Z`)
}

/** Reads the flags of a wish. @throws Fail `usage` */
export function wishOf(flags: {
  at?: string | undefined
  set?: string | undefined
  timeline?: string | undefined
}): Wish {
  if (flags.timeline !== undefined && !/^[1-9]\d{0,9}$/.test(flags.timeline))
    throw new Fail('usage', `--timeline ${flags.timeline}: a number from 1`)
  return {
    at: flags.at === undefined ? undefined : moment(flags.at),
    set: flags.set,
    timeline: flags.timeline === undefined ? undefined : Number(flags.timeline),
  }
}

/**
 * Finds the backup to begin with, and how far to go from there.
 * @param records of the backups that have one
 * @throws Fail `refused` with the reachable range when the moment is outside it
 */
export function targetOf(
  { backups }: Repository,
  records: readonly SetRecord[],
  wish: Wish,
  now: Date,
): Target {
  const { at, timeline } = wish
  const usable = backups.filter((one) => !one.damaged && (!wish.set || one.label === wish.set))
  if (wish.set && usable.length === 0) throw new Fail('refused', `there is no backup ${wish.set}: list them`)
  const before = at ? usable.filter((one) => one.stopped <= at) : usable
  const known = (one: PhysicalBackup) => records.find((record) => record.label === one.label)
  // A backup without a record was cut short before its restore point: it is good for a time, not for itself.
  const set = before.filter((one) => at || wish.latest || wish.set || known(one)).at(-1)
  if (!set || (at && at > now)) throw new Fail('refused', unreachable(usable, at, now))
  const record = at || wish.latest ? undefined : known(set)
  // A commit lies before a record's point: without one PostgreSQL does not know that the moment is over.
  const next = at && backups.find((one) => one.started > at && sameLine(one, set) && known(one))
  const made = at || wish.latest ? undefined : (record?.wal.point ?? set.wal.stop)
  const until = made ?? (timeline || !next ? undefined : known(next)?.wal.point)
  return { set, at, latest: !at && !!wish.latest, record, timeline, until }
}

function sameLine(one: PhysicalBackup, other: PhysicalBackup): boolean {
  return timelineOf(one.wal.start) === timelineOf(other.wal.start)
}

function unreachable(backups: readonly PhysicalBackup[], at: Date | undefined, now: Date): string {
  const [oldest] = backups
  if (!oldest) return 'there is no backup to begin with: tsx ops/backup.ts full'
  const from = oldest.stopped.toISOString()
  const asked = at ? `${at.toISOString()} cannot be reached` : 'no backup has a record'
  return `${asked}: any second from ${from} to now (${now.toISOString()}) can`
}

/** pgBackRest's options for a target. Source: pgBackRest, Command Reference, restore. */
export function restoreOptions({ set, at, latest, record, timeline }: Target): string[] {
  const line = `--target-timeline=${timeline ?? 'current'}`
  const from = `--set=${set.label}`
  if (latest) return [from, '--type=default', line]
  const promote = '--target-action=promote'
  if (at) {
    const moment = at.toISOString().replace('T', ' ').replace('Z', '+00')
    return [from, '--type=time', `--target=${moment}`, promote, line]
  }
  if (record) return [from, '--type=name', `--target=${record.point}`, promote, line]
  // pgBackRest takes no --target-timeline beside this type.
  const own = `--recovery-option=recovery_target_timeline=${timeline ?? 'current'}`
  return [from, '--type=immediate', promote, own]
}

/** A target in words. */
export function targetText({ set, at, latest, record }: Target): string {
  if (at) return `${at.toISOString()}, from ${set.label}`
  if (latest) return `the end of the archive, from ${set.label}`
  return record ? `${set.label} as it was recorded` : `${set.label} as it ended; it has no record`
}
