import * as assert from 'uvu/assert'
import { type Done, due, lastFull } from '../../ops/lib/due.ts'
import type { PhysicalBackup } from '../../ops/lib/pgbackrest.ts'
import { describe } from '../describe.ts'

const now = new Date('2026-11-22T12:17:00Z')
const ago = (hours: number) => new Date(now.getTime() - hours * 3_600_000)
const all = (hours: number): Done => ({
  full: ago(hours),
  dump: ago(hours),
  files: ago(hours),
  verify: ago(hours),
})

describe('what a backup has to do', ({ test }) => {
  test('is everything in the first run, the full backup first', () => {
    const never = { full: undefined, dump: undefined, files: undefined, verify: undefined }
    assert.equal(due(never, now), ['full', 'dump', 'files', 'verify'])
  })

  test('is an incremental backup and nothing else while the day is young', () => {
    for (const hours of [0, 1, 12, 23]) assert.equal(due(all(hours), now), ['incr'], `${hours} h`)
  })

  test('is a full one when the last is a day old, an hourly slot that began late counted in', () => {
    for (const hours of [23.5, 24, 24.2]) assert.is(due(all(hours), now)[0], 'full', `${hours} h`)
    assert.is(due(all(23.49), now)[0], 'incr')
  })

  test('is caught up after slots were missed, each thing once', () => {
    assert.equal(due(all(24 * 30), now), ['full', 'dump', 'files', 'verify'])
  })

  test('is judged for each thing by itself', () => {
    assert.equal(due({ ...all(1), dump: ago(30) }, now), ['incr', 'dump'])
    assert.equal(due({ ...all(1), files: undefined }, now), ['incr', 'files'])
    assert.equal(due({ ...all(30), verify: ago(2) }, now), ['full', 'dump', 'files'])
  })

  test('is everything after the clock went back, and nothing for a second that two machines disagree on', () => {
    assert.equal(due(all(-48), now), ['full', 'dump', 'files', 'verify'])
    assert.equal(due(all(-0.5), now), ['incr'])
  })
})

describe('the newest full backup', ({ test }) => {
  const one = (type: PhysicalBackup['type'], started: Date) => ({ type, started }) as PhysicalBackup

  test('is dated by its start, whatever followed it', () => {
    const backups = [one('full', ago(49)), one('full', ago(25)), one('incr', ago(24)), one('diff', ago(1))]
    assert.equal(lastFull(backups), ago(25))
  })

  test('is none where there is none', () => {
    assert.is(lastFull([]), undefined)
    assert.is(lastFull([one('incr', ago(1))]), undefined)
  })
})
