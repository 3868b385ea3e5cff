/** The numbers of the backup's bench, and what follows from them. */
import type { Size } from './data.ts'
import type { Panel } from './plot.ts'
import type { Cost } from './server.ts'

export type Measured = Cost & { bytes: number }

/** What was measured on a database of one size. */
export interface Result extends Size {
  bytesOnDisk: number
  /** Of those, the indexes of the vectors. */
  indexBytes: number
  /** What each restored database was compared with. */
  rows: string
  seed: { full: Measured; hourly: Measured; restore: Cost }
  ours: {
    full: Measured
    incremental: Measured
    incrementalVectors: Measured
    dump: Measured
    dumpCounted: Measured
    restore: Cost
    /** Bytes in the repository, compressed and encrypted. idleSegment: of a segment that was closed with nothing in it. */
    wal: { change: number; vectors: number; idleSegment: number }
  }
}

export interface Run {
  quick: boolean
  date: Date
  cores: number
  versions: string[]
}

/** What the backups of 90 days take off-site, the index included, if each hour changes 1 % of the rows outside the vectors. */
export function storage90d({ seed, ours }: Pick<Result, 'seed' | 'ours'>) {
  const parts = {
    fulls: 90 * ours.full.bytes,
    incrementals: 90 * 23 * ours.incremental.bytes,
    // archive_timeout closes a segment each 30 s, 120 an hour; the change has filled one of them, and the others are taken for idle.
    wal: 90 * 24 * (ours.wal.change + 119 * ours.wal.idleSegment),
    dumps: 90 * ours.dump.bytes,
  }
  return {
    formula: {
      seed: '90 x 24 fulls',
      ours: '90 fulls + 90 x 23 incrementals + 90 x 24 x (WAL of the change + 119 idle segments) + 90 daily dumps',
    },
    seed: 90 * 24 * seed.hourly.bytes,
    ours: Object.values(parts).reduce((sum, part) => sum + part, 0),
    parts,
  }
}

/** How many times more the seed takes. */
export function ratiosOf(result: Pick<Result, 'seed' | 'ours'>) {
  const { seed, ours } = result
  const storage = storage90d(result)
  return {
    fullCpuPerGb: seed.full.cpu / ours.full.cpu,
    incrementalBytes: seed.hourly.bytes / ours.incremental.bytes,
    restoreWithIndex: seed.restore.wall / ours.restore.wall,
    storage90d: storage.seed / storage.ours,
    dumpCpu: seed.full.cpu / ours.dump.cpu,
  }
}

export type Ratios = ReturnType<typeof ratiosOf>

const wanted = { fullCpuPerGb: 10, incrementalBytes: 50, restoreWithIndex: 5, storage90d: 8 } as const

const percent = (part: number, whole: number) => `${Math.round((100 * part) / whole)} %`
const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`

/** Why a ratio is not larger, from the numbers. */
function why(name: keyof typeof wanted, { seed, ours, ...result }: Result): string {
  const { parts, ours: total } = storage90d({ seed, ours })
  switch (name) {
    case 'fullCpuPerGb':
      return `a full backup reads the index too, ${percent(result.indexBytes, result.bytesOnDisk)} of the database, which a dump leaves out`
    case 'incrementalBytes':
      return `the changed rows are scattered over all pages, and whole blocks are copied, ${megabytes(ours.incremental.bytes)} of them`
    case 'restoreWithIndex':
      return `${megabytes(ours.full.bytes)} are decrypted, decompressed and written, index and all, where the seed spends ${seed.restore.cpu.toFixed(0)} s of CPU`
    case 'storage90d':
      return `fulls, with the index, are ${percent(parts.fulls, total)} of ours, incrementals ${percent(parts.incrementals, total)}, WAL ${percent(parts.wal, total)}, daily dumps ${percent(parts.dumps, total)}`
  }
}

/** All that the bench found: `seed`, `ours` and `ratios` are those of the largest size. Each ratio is seed / ours. */
export function summary(sizes: Result[], run: Run) {
  const whole = sizes.at(-1) as Result
  const ratios = ratiosOf(whole)
  const names = Object.keys(wanted) as (keyof typeof wanted)[]
  return {
    seed: whole.seed,
    ours: whole.ours,
    ratios,
    sizes: sizes.map((size) => ({ ...size, ratios: ratiosOf(size) })),
    storage90d: storage90d(whole),
    beside: {
      seedCpuPerGb: (1e9 * whole.seed.full.cpu) / whole.bytesOnDisk,
      oursCpuPerGb: (1e9 * whole.ours.full.cpu) / whole.bytesOnDisk,
      restoreCpu: whole.seed.restore.cpu / whole.ours.restore.cpu,
      incrementalBytesAfterNewVectors: whole.seed.hourly.bytes / whole.ours.incrementalVectors.bytes,
      dumpCountedCpu: whole.seed.full.cpu / whole.ours.dumpCounted.cpu,
    },
    targets: names.map((name) => {
      const reached = ratios[name] >= wanted[name]
      return { name, target: wanted[name], reached, why: reached ? '' : why(name, whole) }
    }),
    ...run,
  }
}

export type Summary = ReturnType<typeof summary>

/** Cost against size, for the plot. */
export function panels(sizes: Result[]): Panel[] {
  const line = (value: (size: Result) => number) =>
    sizes.map((size) => ({ x: size.bytesOnDisk / 1e9, y: value(size) }))
  return [
    {
      title: 'Full backup, seconds of CPU',
      seed: line(({ seed }) => seed.full.cpu),
      ours: line(({ ours }) => ours.full.cpu),
    },
    {
      title: 'Hourly backup, MB',
      seed: line(({ seed }) => seed.hourly.bytes / 1e6),
      ours: line(({ ours }) => ours.incremental.bytes / 1e6),
    },
    {
      title: 'Restore with the index, seconds',
      seed: line(({ seed }) => seed.restore.wall),
      ours: line(({ ours }) => ours.restore.wall),
    },
  ]
}
