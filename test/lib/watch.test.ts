import { readFileSync } from 'node:fs'
import * as assert from 'uvu/assert'
import { lookText } from '../../ops/lib/look-text.ts'
import { type Look, problemsOf } from '../../ops/lib/watch.ts'
import { describe } from '../describe.ts'

const hour = 3600
const gb = 1024 ** 3
const well: Look = {
  at: '2026-11-23T10:00:00.000Z',
  lagSeconds: 0,
  newestWal: '000000010000000000000009-aa.zst',
  boxPercent: 84,
  waitingSegments: 15,
  archiveFails: false,
  ages: {
    ...{ backup: 1.9 * hour, boxBackup: 3.9 * hour, full: 25 * hour, dump: 25 * hour, files: 0 },
    ...{ verify: hour, drill: 190 * hour, dumpDrill: 2399 * hour },
  },
  freeBytes: 20 * gb,
  neededBytes: 29 * gb,
  problems: [],
}
const disk = { free: 20 * gb, used: 10 * gb, repository: 9 * gb, daily: gb, reserve: 5 * gb }
const since = new Date(Date.now() - 30 * 86_400_000)
const verdict = (broken: boolean) => ({
  lag: { since: 0, lsn: '1', asked: true },
  ask: false,
  seconds: 150,
  broken,
})
const problems = (own: Partial<Look>, more: Partial<typeof disk> = {}, broken = false, oldest = since) =>
  problemsOf({ ...well, ...own }, verdict(broken), oldest, { ...disk, ...more })

describe('a look at the backups', ({ test }) => {
  test('finds nothing while every figure is within its limit', () => {
    assert.equal(problems({}), [])
  })

  const found: [string, string[], RegExp][] = [
    ['a box that is behind', problems({}, {}, true), /^changes of the last 150 s are on this server only/],
    ['archiving that fails', problems({ archiveFails: true }), /^PostgreSQL cannot archive its WAL/],
    ['a pg_wal that grows', problems({ waitingSegments: 16 }), /^16 WAL segments wait to be archived/],
    ['a box that is nearly full', problems({ boxPercent: 85 }), /^the Storage Box is 85 % full/],
    ['a disk in its reserve', problems({}, { free: 4 * gb }), /^only 4096 MB are free/],
    ['a disk too small for the retention', problems({ neededBytes: 31 * gb }), /^the backups of the whole/],
  ]
  for (const [what, told, words] of found)
    test(`finds ${what}, and that alone`, () => {
      assert.match(told[0] ?? '', words)
      // A disk that is full is too small, too.
      assert.is(told.length, what.includes('reserve') ? 2 : 1, told.join('\n'))
    })

  test('finds each thing that is overdue, with the command that does it', () => {
    const limits: [keyof Look['ages'], number, string, string][] = [
      ['backup', 2, 'backup', 'backup.ts'],
      ['boxBackup', 4, 'backup on the Storage Box', 'backup.ts ship --once'],
      ['full', 26, 'full', 'backup.ts full'],
      ['dump', 26, 'dump', 'backup.ts dump'],
      ['files', 26, 'files', 'backup.ts files'],
      ['verify', 26, 'verify', 'backup.ts verify'],
      ['drill', 192, 'drill', 'backup.ts drill'],
      ['dumpDrill', 2400, 'drill of a dump', 'restore-dump.ts'],
    ]
    for (const [name, limit, what, command] of limits) {
      const told = problems({ ages: { ...well.ages, [name]: (limit + 0.1) * hour } })
      assert.equal(told, [`the last ${what} is ${limit}.1 hours old (limit ${limit} h): tsx ops/${command}`])
    }
    assert.is(limits.length, Object.keys(well.ages).length)
  })

  test('takes an age in the future for a clock that went back, and not for a good one', () => {
    const told = problems({ ages: { ...well.ages, dump: -2 * hour } })
    assert.equal(told, ["the last dump is 2.0 hours in the future: is the server's clock right?"])
    assert.equal(problems({ ages: { ...well.ages, dump: -60 } }), [])
  })

  test('bears that a thing was never done while the first backup is young, and not for longer', () => {
    const ages = { ...well.ages, drill: null }
    assert.equal(problems({ ages }, {}, false, new Date()), [])
    assert.match(problems({ ages })[0] ?? '', /^the last drill was never made \(limit 192 h\)/)
    const dump = { ...well.ages, dumpDrill: null }
    assert.match(
      problems({ ages: dump })[0] ?? '',
      /^the last drill of a dump was never made \(limit 192 h\)/,
    )
  })

  test('says that there is no backup at all, and blames nothing that it could not look at', () => {
    const none = problemsOf(well, undefined, null, disk)
    assert.equal(none, ['there is no backup: tsx ops/backup.ts'])
    const old = { ...well.ages, backup: 9 * hour }
    assert.equal(problemsOf({ ...well, ages: old }, undefined, undefined, disk), [])
  })

  test('uses words that the runbook knows', () => {
    const runbook = readFileSync('runbooks/backup-alert.md', 'utf8')
    const rows = runbook
      .split('\n')
      .filter((line) => line.startsWith('| `') || line.startsWith('| the '))
      .flatMap((line) =>
        [...(line.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map(([, words = '']) => words),
      )
    const known = rows.map(
      (words) => new RegExp(words.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll('…', '.*')),
    )
    const ages = { ...well.ages, full: 27 * hour, drill: null, dump: -2 * hour }
    const overdue = problems({ ages })
    for (const told of [...found.flatMap(([, one]) => one), ...overdue, 'there is no backup: tsx'])
      assert.ok(
        known.some((words) => words.test(told)),
        told,
      )
  })

  test('is for a person a table, with what was told last', () => {
    const text = lookText({ ...well, lagSeconds: 40, boxPercent: null }, undefined)
    assert.match(text, /^Storage Box {2}40 s behind\nnewest WAL {3}000000010000000000000009-?\n/)
    assert.match(text, /box used {5}unknown\nlast alert {3}none$/)
    const told = { at: '', problems: [], told: undefined, undelivered: 'it answered 500' }
    assert.match(lookText(well, told), /last alert {3}it answered 500$/)
  })
})
