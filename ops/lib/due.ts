import type { PhysicalBackup } from './pgbackrest.ts'

export const jobs = ['full', 'incr', 'dump', 'files', 'verify'] as const
export type Job = (typeof jobs)[number]

/** When each thing was last done; undefined: never. */
export interface Done {
  full: Date | undefined
  dump: Date | undefined
  files: Date | undefined
  verify: Date | undefined
}

const hour = 3_600_000
/** Less than a day by half an hour: a job that began late one day must not move the next day's by an hour. */
const daily = 23.5 * hour

/**
 * What a plain `backup` has to do now: a full backup when the last one is a day old, else an incremental one; and once a day
 * the rest. What was missed while the machine was off is simply overdue. A time in the future (the clock went back) counts
 * as never: better once too often.
 */
export function due(done: Done, now: Date): Job[] {
  const overdue = (last: Date | undefined) =>
    !last || now.getTime() - last.getTime() >= daily || last.getTime() > now.getTime() + hour
  const rest = (['dump', 'files', 'verify'] as const).filter((job) => overdue(done[job]))
  return [overdue(done.full) ? 'full' : 'incr', ...rest]
}

/** When the newest full backup began that is good. */
export function lastFull(backups: readonly PhysicalBackup[]): Date | undefined {
  return backups.filter((one) => one.type === 'full' && !one.damaged).at(-1)?.started
}
