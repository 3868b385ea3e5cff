/** Physical backups as pgBackRest tells of them, made up from a start and a timeline. */
import type { PhysicalBackup } from '../ops/lib/pgbackrest.ts'
import type { SetRecord } from '../ops/lib/set.ts'

/** A segment of a timeline by its number. */
export function segment(timeline: number, number: number): string {
  const hex = (value: number) => value.toString(16).toUpperCase().padStart(8, '0')
  return `${hex(timeline)}${hex(number >> 8)}${hex(number & 255)}`
}

/** `20261122-101500F` for a moment. */
export function labelOf(started: Date): string {
  return started
    .toISOString()
    .replace(/-|:|\.\d+Z/g, '')
    .replace('T', '-')
}

/** A backup that took a minute, with the WAL from a segment to the next. */
export function physical(
  start: string,
  { full, line = 1, wal = 1, stored = 100, damaged = false } = {} as {
    full?: PhysicalBackup
    line?: number
    wal?: number
    stored?: number
    damaged?: boolean
  },
): PhysicalBackup {
  const started = new Date(start)
  const label = full ? `${full.label}_${labelOf(started)}I` : `${labelOf(started)}F`
  return {
    label,
    type: full ? 'incr' : 'full',
    started,
    stopped: new Date(started.getTime() + 60_000),
    wal: { start: segment(line, wal), stop: segment(line, wal + 1) },
    lsn: { start: `0/${(wal << 24).toString(16)}`, stop: `0/${((wal + 1) << 24).toString(16)}` },
    bytes: { cluster: 1000, stored },
    needs: full ? [full.label, label] : [label],
    damaged,
  }
}

/** The record of a backup whose restore point lies in the segment after its last. */
export function recorded(backup: PhysicalBackup): SetRecord {
  return {
    format: 1,
    label: backup.label,
    type: backup.type,
    startedAt: backup.started.toISOString(),
    stoppedAt: backup.stopped.toISOString(),
    point: `backup-${backup.label}`,
    lsn: backup.lsn.stop,
    wal: { start: backup.wal.start, point: backup.wal.stop.replace(/.$/, 'F') },
    bytes: backup.bytes,
    sha256: 'a'.repeat(64),
    rows: { 'public.documents': 3, 'public.tenants': 2 },
    postgres: '17.11',
    pgvector: null,
    system: '7000000000000000001',
    release: null,
    tool: null,
  }
}
