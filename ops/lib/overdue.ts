/** Ages of what has to be done again and again, seconds; null: never. */
export type Ages = Record<keyof typeof duties, number | null>

interface Duty {
  /** Hours after which it is overdue. */
  hours: number
  what: string
  command: string
}

const duty = (hours: number, what: string, command: string): Duty => ({ hours, what, command })
const duties = {
  backup: duty(2, 'backup', 'backup.ts'),
  boxBackup: duty(4, 'backup on the Storage Box', 'backup.ts ship --once'),
  full: duty(26, 'full', 'backup.ts full'),
  dump: duty(26, 'dump', 'backup.ts dump'),
  files: duty(26, 'files', 'backup.ts files'),
  verify: duty(26, 'verify', 'backup.ts verify'),
  drill: duty(8 * 24, 'drill', 'backup.ts drill'),
  dumpDrill: duty(100 * 24, 'drill of a dump', 'restore-dump.ts'),
}

/** Hours that the newest backup on the Storage Box may be old. */
export const boxBackupHours = duties.boxBackup.hours
/** Hours that a thing may be missing that was never done: a first drill does not wait for a quarter. */
const first = 8 * 24
/** What `Ages` has, in the order in which it is told. */
export const dutyNames = Object.keys(duties) as (keyof typeof duties)[]

/**
 * What is overdue, in words that runbooks/backup-alert.md knows.
 * @param since when the oldest backup was made; null: there is none; undefined: that could not be found out
 */
export function overdue(ages: Ages, since: Date | null | undefined): string[] {
  if (since === null) return ['there is no backup: tsx ops/backup.ts']
  if (since === undefined) return []
  const never = (Date.now() - since.getTime()) / 3_600_000
  return dutyNames.flatMap((name) => {
    const { hours, what, command } = duties[name]
    const [seconds, call] = [ages[name], `tsx ops/${command}`]
    if (seconds === null) {
      const limit = Math.min(hours, first)
      return never > limit ? [`the last ${what} was never made (limit ${limit} h): ${call}`] : []
    }
    const age = seconds / 3600
    if (age < -1)
      return [`the last ${what} is ${(-age).toFixed(1)} hours in the future: is the server's clock right?`]
    return age > hours ? [`the last ${what} is ${age.toFixed(1)} hours old (limit ${hours} h): ${call}`] : []
  })
}
