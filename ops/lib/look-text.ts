import type { Watch } from './alerting.ts'
import { dutyNames } from './overdue.ts'
import type { Look } from './watch.ts'

const shown: Record<string, string> = { boxBackup: 'on the box', dumpDrill: 'dump drill' }

/** A look for a person. */
export function lookText(look: Look, watch: Watch | undefined): string {
  const age = (seconds: number | null) =>
    seconds === null ? 'never' : `${(seconds / 3600).toFixed(1)} hours ago`
  const rows = {
    'Storage Box':
      look.lagSeconds === null
        ? 'unknown'
        : look.lagSeconds === 0
          ? 'has everything'
          : `${look.lagSeconds} s behind`,
    'newest WAL': look.newestWal?.slice(0, 24) ?? 'none',
    ...Object.fromEntries(dutyNames.map((name) => [shown[name] ?? name, age(look.ages[name])])),
    'box used': look.boxPercent === null ? 'unknown' : `${look.boxPercent} %`,
    'last alert': watch?.undelivered ?? watch?.told?.at ?? 'none',
  }
  return Object.entries(rows)
    .map(([name, value]) => `${name.padEnd(12)} ${value}`)
    .join('\n')
}
