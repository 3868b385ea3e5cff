import * as assert from 'uvu/assert'
import { judge, type Lag, limit, type Verdict } from '../../ops/lib/lag.ts'
import { describe } from '../describe.ts'

const MB = 1024n ** 2n

/** Looks two minutes apart, each with where the database and the box are, in MB; what one kept the next one reads back. */
function looks(...moments: [database: number, box: number][]): Verdict[] {
  let kept: Lag | undefined
  return moments.map(([database, box], i) => {
    const verdict = judge({ at: i * 121_000, lsn: BigInt(database) * MB, box: BigInt(box) * MB }, kept)
    kept = JSON.parse(JSON.stringify(verdict.lag)) as Lag
    return verdict
  })
}

const told = ({ seconds, ask, broken }: Verdict) => [seconds, ask, broken]

describe('how far the Storage Box is behind', ({ test }) => {
  test('is nothing when the box has as much as the database, or a segment that is not full yet', () => {
    assert.equal(looks([16, 16], [17, 32], [17, 32]).map(told), [
      [0, false, false],
      [0, false, false],
      [0, false, false],
    ])
  })

  test('is no matter while the box keeps passing what the last look saw, however fast the database grows', () => {
    const growing = looks([20, 16], [100, 32], [500, 112], [2000, 512], [9000, 2000])
    for (const verdict of growing) assert.equal(told(verdict), [0, false, false])
  })

  test('is told all the same after the clock went back by days', () => {
    let kept = judge({ at: 9e9, lsn: 20n * MB, box: 16n * MB }, undefined).lag
    const back = [0, 121_000, 242_000].map((at) => {
      const verdict = judge({ at, lsn: 20n * MB, box: 16n * MB }, kept)
      kept = verdict.lag
      return verdict
    })
    assert.equal(back.map(told), [
      [0, false, false],
      [121, true, false],
      [242, false, true],
    ])
  })

  test('makes a quiet database close its segment, which then comes, and all is well', () => {
    assert.equal(looks([20, 16], [20, 16], [32, 32], [32, 32]).map(told), [
      [0, false, false],
      [121, true, false],
      [0, false, false],
      [0, false, false],
    ])
  })

  test('is broken when the segment that was asked for has not come by the next look', () => {
    assert.equal(looks([20, 16], [20, 16], [32, 16], [40, 16]).map(told), [
      [0, false, false],
      [121, true, false],
      [242, false, true],
      [363, false, true],
    ])
  })

  test('is never broken on a first look, nor within the limit', () => {
    const now = { at: 1_000_000_000, lsn: 20n * MB, box: 0n }
    assert.not.ok(judge(now, undefined).broken)
    const before = { since: now.at - limit * 1000, lsn: String(20n * MB), asked: true }
    assert.equal(told(judge(now, before)), [limit, false, false])
    assert.equal(told(judge(now, { ...before, since: before.since - 1000 })), [limit + 1, false, true])
  })

  test('waits for the position of the first look, so that a way that crawls is found', () => {
    const crawling = looks([100, 16], [200, 20], [300, 24])
    assert.equal(told(crawling[2] as Verdict), [242, false, true])
  })

  test('begins anew after a recovery: the old trouble is not counted in', () => {
    const [, , broken, well, later, again] = looks([20, 16], [20, 16], [32, 16], [32, 32], [40, 32], [40, 32])
    assert.ok(broken?.broken)
    assert.equal(well && told(well), [0, false, false])
    assert.equal(later && told(later), [0, false, false])
    assert.equal(again && told(again), [121, true, false])
  })

  test('begins anew too when the box passed the position but the database is ahead again', () => {
    const [, , passed, next] = looks([20, 16], [20, 16], [50, 32], [50, 32])
    assert.equal(passed && told(passed), [0, false, false])
    assert.equal(next && told(next), [121, true, false])
  })

  test('is no negative time when the clock went back', () => {
    const before = { since: 500_000, lsn: String(20n * MB), asked: false }
    assert.equal(told(judge({ at: 0, lsn: 20n * MB, box: 0n }, before)), [0, false, false])
  })
})
