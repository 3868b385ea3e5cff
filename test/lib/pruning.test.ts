import * as assert from 'uvu/assert'
import type { Fail } from '../../ops/lib/fail.ts'
import { prunable, prunableWal, refuseTooMany } from '../../ops/lib/pruning.ts'
import { describe } from '../describe.ts'
import { labelOf, physical, segment } from '../physical.ts'

const now = new Date('2026-11-22T12:00:00Z')
const days = (many: number) => new Date(now.getTime() - many * 86_400_000)
const full = (age: number) => `${labelOf(days(age))}F`
const incr = (of: number, age: number) => `${full(of)}_${labelOf(days(age))}I`
const holding = (...backups: ReturnType<typeof physical>[]) => ({ backups, archive: undefined })
const forgot = holding()

describe('physical backups that may go from the box', ({ test }) => {
  test('are those that the catalogue let go of and whose time is over, the oldest first', () => {
    assert.equal(prunable([full(91), full(200), full(89)], forgot, now, 90), [full(200), full(91)])
  })

  test('are never young ones, even when the catalogue forgot everything', () => {
    const young = [full(0), full(1), full(89.9), incr(89.9, 89.5), full(90)]
    assert.equal(prunable(young, forgot, now, 90), [])
  })

  test('are never what a young one needs: its full one, and the incremental ones between', () => {
    const chain = [full(91), incr(91, 90.5), incr(91, 89.5)]
    assert.equal(prunable(chain, forgot, now, 90), [])
    assert.equal(prunable(chain.slice(0, 2), forgot, now, 90), chain.slice(0, 2))
    assert.equal(prunable([...chain, full(92)], forgot, now, 90), [full(92)])
  })

  test('are never those that the catalogue still has, however old', () => {
    const old = physical(days(300).toISOString())
    assert.equal(prunable([old.label, full(301)], holding(old), now, 90), [full(301)])
  })

  test('are judged by the last date in their name', () => {
    assert.equal(prunable([incr(300, 299)], forgot, now, 90), [incr(300, 299)])
    assert.equal(prunable([incr(300, 3)], forgot, now, 90), [])
  })

  test('are nothing else that lies there', () => {
    assert.equal(
      prunable(['latest', 'backup.info', 'backup.history', '20200101T000000Z', '..', ''], forgot, now, 90),
      [],
    )
  })
})

describe('WAL that may go from the box', ({ test }) => {
  const folder = (line: number, log: number) => segment(line, log * 256).slice(0, 16)
  const catalogue = holding(
    physical('2026-11-20T00:00:00Z', { wal: 5 * 256 + 7 }),
    physical('2026-11-21T00:00:00Z', { wal: 6 * 256 }),
  )

  test('lies in folders wholly before everything that the catalogue needs', () => {
    const folders = [6, 5, 4, 3].map((log) => folder(1, log))
    assert.equal(prunableWal(folders, catalogue), [folder(1, 3), folder(1, 4)])
  })

  test('of an older or a newer timeline goes by its position too', () => {
    const [first] = catalogue.backups
    const later = holding(physical('2026-11-20T00:00:00Z', { line: 2, wal: 5 * 256 }))
    assert.equal(prunableWal([folder(1, 4), folder(1, 5), folder(2, 4)], later), [folder(1, 4), folder(2, 4)])
    assert.equal(prunableWal([folder(2, 4), folder(3, 6)], holding(first as never)), [folder(2, 4)])
  })

  test('stays when the catalogue holds nothing, and when it is no folder of WAL', () => {
    assert.equal(prunableWal([folder(1, 1)], forgot), [])
    assert.equal(prunableWal(['archive.info', '', '0000000100000000/..'], catalogue), [])
  })
})

describe('the share that may go in one run', ({ test }) => {
  const refused = (going: number, all: number, share: number) => {
    try {
      refuseTooMany(going, all, share)
      return false
    } catch (error) {
      assert.is((error as Fail).exitCode, 3)
      assert.match(
        (error as Fail).message,
        new RegExp(`^${going} of the ${all} backups .* more than ${share} %`),
      )
      return true
    }
  }

  test('is held to the percent', () => {
    assert.not.ok(refused(0, 0, 40))
    assert.not.ok(refused(4, 10, 40))
    assert.ok(refused(5, 10, 40))
    assert.ok(refused(1, 1, 40))
    assert.ok(refused(1, 100, 0))
    assert.not.ok(refused(10, 10, 100))
  })

  test('that is no number lets nothing go', () => assert.ok(refused(1, 10, Number('x'))))
})
