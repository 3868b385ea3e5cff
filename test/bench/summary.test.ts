/** What the bench makes of its numbers, by numbers that can be checked in the head. */
import * as assert from 'uvu/assert'
import { describe } from '../describe.ts'
import { sizes } from './data.ts'
import { plot } from './plot.ts'
import { panels, type Result, ratiosOf, storage90d, summary } from './summary.ts'
import { page } from './table.ts'

const cost = (cpu: number, bytes: number) => ({ cpu, wall: 2 * cpu, bytes })
const result = (share: number): Result => ({
  ...(sizes(false)[2] as Result),
  share,
  bytesOnDisk: share * 2e9,
  indexBytes: share * 8e8,
  rows: '1|2|3',
  seed: { full: cost(150, 8e8), hourly: cost(160, 8e8), restore: { cpu: 300, wall: 200 } },
  ours: {
    full: cost(10, 1.2e9),
    incremental: cost(1, 1e7),
    incrementalVectors: cost(5, 4e8),
    dump: cost(25, 8e8),
    dumpCounted: cost(50, 8e8),
    restore: { cpu: 15, wall: 20 },
    wal: { change: 5e6, vectors: 1e8, idleSegment: 1000 },
  },
})
const run = { quick: false, date: new Date('2026-01-02T03:04:05Z'), cores: 2, versions: ['PostgreSQL 17.1'] }

describe("the summary of the backup's bench", ({ test }) => {
  test('has each ratio as seed / ours', () => {
    const { storage90d: storage, ...others } = ratiosOf(result(1))
    assert.equal(others, { fullCpuPerGb: 15, incrementalBytes: 80, restoreWithIndex: 10, dumpCpu: 6 })
    assert.is(Math.round(storage * 100), 816)
  })

  test('adds up 90 days by its formula', () => {
    const { seed, ours, parts } = storage90d(result(1))
    assert.is(seed, 2160 * 8e8)
    assert.equal(parts, {
      fulls: 90 * 1.2e9,
      incrementals: 2070 * 1e7,
      wal: 2160 * (5e6 + 119 * 1000),
      dumps: 90 * 8e8,
    })
    assert.is(ours, parts.fulls + parts.incrementals + parts.wal + parts.dumps)
  })

  test('takes the largest size, and tells why a target is not reached', () => {
    const slow = result(1)
    slow.ours.full.cpu = 30
    const all = summary([result(0.5), slow], run)
    assert.is(all.ratios.fullCpuPerGb, 5)
    assert.equal(
      all.targets.map(({ name, reached }) => [name, reached]),
      [
        ['fullCpuPerGb', false],
        ['incrementalBytes', true],
        ['restoreWithIndex', true],
        ['storage90d', true],
      ],
    )
    assert.match(page(all), 'CPU of a full backup, per GB: 5.00 times less, target 10: not reached')
    assert.match(page(all), '2026-01-02, 2 cores, PostgreSQL 17.1')
  })
})

describe("the plot of the backup's bench", ({ test }) => {
  test('has a point for each size on both lines of each panel', () => {
    const svg = plot(panels([result(0.25), result(0.5), result(1)]))
    assert.is(svg.match(/<circle /g)?.length, 3 * 2 * 3)
    assert.not.match(svg, /NaN|Infinity|undefined/)
    for (const [, x = '', y = ''] of svg.matchAll(/cx="([^"]*)" cy="([^"]*)"/g))
      assert.ok(Number(x) >= 0 && Number(x) <= 270 && Number(y) >= 0 && Number(y) <= 220, `${x} ${y}`)
  })
})
