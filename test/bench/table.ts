import { indexMemory } from './data.ts'
import type { Cost } from './server.ts'
import type { Measured, Summary } from './summary.ts'

const headings: Record<string, string> = {
  fullCpuPerGb: 'CPU of a full backup, per GB',
  incrementalBytes: 'bytes of an hourly backup',
  restoreWithIndex: 'time of a restore with the index',
  storage90d: 'storage of 90 days',
}

/** The bench as a page: a table that reads as text and as Markdown, the targets, and how it was measured. */
export function page(all: Summary): string {
  const whole = all.sizes.at(-1)
  if (!whole) throw new Error('nothing was measured')
  const { seed, ours, ratios, beside, storage90d } = all
  const rows: [string, string, string, string][] = [
    ['', 'seed', 'ours', 'seed / ours'],
    ['full backup', size(seed.full), size(ours.full), times(ratios.fullCpuPerGb, 'CPU')],
    [
      'hourly, 1 % of the rows changed',
      size(seed.hourly),
      size(ours.incremental),
      times(ratios.incrementalBytes, 'bytes'),
    ],
    [
      'hourly, 1 % new vectors',
      'a full again',
      size(ours.incrementalVectors),
      times(beside.incrementalBytesAfterNewVectors, 'bytes'),
    ],
    [
      'restore with the index',
      cost(seed.restore),
      cost(ours.restore),
      `${times(ratios.restoreWithIndex, 'time')}, ${times(beside.restoreCpu, 'CPU')}`,
    ],
    ['portable dump', 'a full again', size(ours.dump), times(ratios.dumpCpu, 'CPU')],
    ['the same, rows counted', '-', size(ours.dumpCounted), times(beside.dumpCountedCpu, 'CPU')],
    ['90 days', gigabytes(storage90d.seed), gigabytes(storage90d.ours), times(ratios.storage90d, 'bytes')],
  ]
  const targets = all.targets.map(({ name, target, reached, why }) => {
    const found = ratios[name].toFixed(2)
    return `- ${headings[name]}: ${found} times less, target ${target}: ${reached ? 'reached' : `not reached: ${why}`}`
  })
  const day = all.date.toISOString().slice(0, 10)
  return `${all.quick ? 'Quick run on small databases: it shows that the bench works, and proves nothing.\n\n' : ''}${day}, ${all.cores} cores, ${all.versions.join(', ')}. ${gigabytes(whole.bytesOnDisk)} on disk:
${whole.vectors} vectors of 1536 dimensions with their HNSW index (${gigabytes(whole.indexBytes)}), ${whole.documents} documents, ${whole.accounts} accounts.

${align(rows)}

${targets.join('\n')}

Seed: \`pg_dump | gzip | gpg --symmetric\` each hour, restored by \`gpg | gunzip | psql\`; in its favour gpg and gzip run inside the
container, and its index is rebuilt with ${indexMemory} of memory. 90 days of the seed are ${storage90d.formula.seed}; of ours,
${storage90d.formula.ours}.
CPU is that of the whole container, server included. The machine is shared and noisy: ratios count, not seconds.
`
}

function align(rows: string[][]): string {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)))
  const line = (row: string[]) => `| ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(' | ')} |`
  const rule = `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`
  const [head = [], ...body] = rows
  return [line(head), rule, ...body.map(line)].join('\n')
}

const cost = ({ cpu, wall }: Cost) => `${cpu.toFixed(1)} s CPU, ${wall.toFixed(1)} s`
const size = (measured: Measured) => `${cost(measured)}, ${(measured.bytes / 1e6).toFixed(1)} MB`
const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(2)} GB`
const times = (ratio: number, what: string) => `${ratio.toPrecision(3)} (${what})`
