import type { Disk } from './disk-use.ts'
import type { PhysicalBackup } from './pgbackrest.ts'

const day = 86_400_000

/**
 * Bytes that backups will hold when the retention is full: a full backup a day and 23 incremental ones, as large as the
 * newest were on average, WAL as it came in so far, a dump and the files. pgBackRest keeps a full backup until a newer one
 * is as old as the retention, hence one day more.
 * @param days the retention
 * @param repository bytes of the repository now
 * @param daily bytes of a dump and the files
 * @returns null while there is nothing to estimate from: less than a day
 */
export function projected(
  backups: readonly PhysicalBackup[],
  days: number,
  { repository, daily }: Pick<Disk, 'repository' | 'daily'>,
  now: Date,
): number | null {
  const [oldest] = backups
  if (!oldest || now.getTime() - oldest.started.getTime() < day) return null
  const average = (type: 'full' | 'incr') => {
    const sizes = backups
      .filter((one) => one.type === type)
      .slice(-24)
      .map((one) => one.bytes.stored)
    return sizes.length === 0 ? 0 : sum(sizes) / sizes.length
  }
  const wal = Math.max(0, repository - sum(backups.map((one) => one.bytes.stored)))
  const walDays = (now.getTime() - oldest.started.getTime()) / day
  return Math.round((days + 1) * (average('full') + 23 * average('incr') + wal / walDays + daily))
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, one) => all + one, 0)
}
