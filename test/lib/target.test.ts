import * as assert from 'uvu/assert'
import { Fail } from '../../ops/lib/fail.ts'
import type { PhysicalBackup } from '../../ops/lib/pgbackrest.ts'
import type { SetRecord } from '../../ops/lib/set.ts'
import { moment, restoreOptions, targetOf, targetText, wishOf } from '../../ops/lib/target.ts'
import { describe } from '../describe.ts'
import { physical, recorded } from '../physical.ts'

const now = new Date('2026-11-22T20:00:00Z')
const full = physical('2026-11-22T10:00:00Z', { wal: 2 })
const noon = physical('2026-11-22T12:00:00Z', { full, wal: 5 })
const two = physical('2026-11-22T14:00:00Z', { full, wal: 9 })
const backups = [full, noon, two]

interface Asked {
  at?: string
  set?: string
  timeline?: string
  latest?: boolean
}

function target(
  { latest, ...flags }: Asked,
  all: PhysicalBackup[] = backups,
  records: SetRecord[] = all.map(recorded),
) {
  return targetOf({ backups: all, archive: undefined }, records, { ...wishOf(flags), latest }, now)
}

/** The message of a refusal. */
function refused(exitCode: number, ...args: Parameters<typeof target>): string {
  try {
    target(...args)
  } catch (error) {
    assert.ok(error instanceof Fail, String(error))
    assert.is(error.exitCode, exitCode, error.message)
    return error.message
  }
  return assert.unreachable(JSON.stringify(args[0])) as never
}

describe('a moment', ({ test }) => {
  test('is read with its time zone, down to parts of a second', () => {
    for (const text of [
      '2026-11-22T10:15Z',
      '2026-11-22 10:15:00Z',
      '2026-11-22T11:15:00+01:00',
      '2026-11-22T04:45:00-0530',
    ])
      assert.is(moment(text).toISOString(), '2026-11-22T10:15:00.000Z', text)
    assert.is(moment('2026-11-22T10:15:00.25Z').getMilliseconds(), 250)
  })

  test('is refused without a zone, and when it is no moment', () => {
    for (const text of [
      '2026-11-22T10:15:00',
      '2026-11-22',
      '10:15Z',
      'yesterday',
      '',
      '2026-13-22T10:15Z',
      '2026-02-30T10:15Z',
      '2026-11-22T10:15:00.123456Z',
      '2026-11-22T25:15Z',
      "2026-11-22T10:15Z'; drop",
    ]) {
      try {
        moment(text)
        assert.unreachable(text)
      } catch (error) {
        assert.ok(error instanceof Fail, text)
        assert.match((error as Fail).message, /a moment with its time zone, such as/)
        assert.is((error as Fail).exitCode, 2)
      }
    }
  })
})

describe('what to restore', ({ test }) => {
  test('is the newest backup with a record when nothing is asked, and no WAL past its restore point', () => {
    const { set, record, at, until } = target({})
    assert.equal([set, at], [two, undefined])
    assert.is(record?.label, two.label)
    assert.is(until, record?.wal.point)
  })

  test('is not a backup that was cut short before its record, nor a damaged one', () => {
    assert.is(target({}, backups, [full, noon].map(recorded)).set, noon)
    assert.is(target({}, [full, noon, { ...two, damaged: true }]).set, noon)
    assert.match(refused(3, {}, backups, []), /^no backup has a record: any second from 2026-11-22T10:01/)
  })

  test('is for a moment the last backup that was finished by then, with a record or without', () => {
    for (const records of [backups.map(recorded), []]) {
      const { set, at, record } = target({ at: '2026-11-22T13:00Z' }, backups, records)
      assert.equal([set, record], [noon, undefined])
      assert.is(at?.toISOString(), '2026-11-22T13:00:00.000Z')
    }
    assert.is(target({ at: '2026-11-22T12:01:00Z' }).set, noon)
    assert.is(target({ at: '2026-11-22T12:00:59Z' }).set, full, 'a backup cannot go back before its own end')
    assert.is(target({ at: '2026-11-22T19:59:59Z' }).set, two)
  })

  test('is for a moment never a damaged backup: the one before it takes more WAL', () => {
    const all = [full, { ...noon, damaged: true }, two]
    assert.is(target({ at: '2026-11-22T13:00Z' }, all).set, full)
  })

  test('needs for a moment the WAL up to the point of the next recorded backup of the same timeline', () => {
    assert.is(target({ at: '2026-11-22T13:00Z' }).until, recorded(two).wal.point)
    assert.is(target({ at: '2026-11-22T19:00Z' }).until, undefined, 'all there is, after the last')
    const other = physical('2026-11-22T13:30:00Z', { line: 2, wal: 6 })
    assert.is(target({ at: '2026-11-22T13:00Z' }, [full, noon, other, two]).until, recorded(two).wal.point)
    assert.is(target({ at: '2026-11-22T13:00Z' }, [full, noon, other]).until, undefined)
    const unrecorded = target({ at: '2026-11-22T11:00Z' }, backups, [full, two].map(recorded))
    assert.is(
      unrecorded.until,
      recorded(two).wal.point,
      'a backup without a record may be followed by no commit',
    )
    const damaged = [full, noon, { ...two, damaged: true }]
    assert.is(target({ at: '2026-11-22T13:00Z' }, damaged).until, recorded(two).wal.point)
  })

  test('is refused before the oldest backup and in the future, and says what can be reached', () => {
    const range =
      /cannot be reached: any second from 2026-11-22T10:01:00\.000Z to now \(2026-11-22T20:00:00\.000Z\) can$/
    assert.match(refused(3, { at: '2026-11-22T10:00:59Z' }), range)
    assert.match(refused(3, { at: '2026-11-22T20:00:01Z' }), range)
    assert.match(refused(3, { at: '2026-11-22T09:00Z' }), /^2026-11-22T09:00:00\.000Z cannot/)
    const young = [{ ...full, damaged: true }, noon]
    assert.match(refused(3, { at: '2026-11-22T11:00Z' }, young), /any second from 2026-11-22T12:01/)
  })

  test('is refused where there is no backup at all, or not the one asked for', () => {
    assert.match(refused(3, {}, []), /there is no backup to begin with/)
    assert.match(refused(3, { at: '2026-11-22T13:00Z' }, []), /there is no backup to begin with/)
    assert.match(refused(3, { set: 'x' }), /there is no backup x/)
    assert.match(refused(3, { set: noon.label }, [full, { ...noon, damaged: true }]), /there is no backup/)
  })

  test('is the backup asked for, alone or with a moment after it', () => {
    const alone = target({ set: noon.label })
    assert.equal([alone.set, alone.record?.label], [noon, noon.label])
    const unrecorded = target({ set: two.label }, backups, [])
    assert.equal([unrecorded.set, unrecorded.record, unrecorded.until], [two, undefined, two.wal.stop])
    const later = target({ set: full.label, at: '2026-11-22T13:00Z' })
    assert.equal([later.set, later.record], [full, undefined])
    assert.match(refused(3, { set: two.label, at: '2026-11-22T13:00Z' }), /from 2026-11-22T14:01/)
  })

  test('follows another timeline when told, with all the WAL there is', () => {
    const { timeline, until } = target({ at: '2026-11-22T13:00Z', timeline: '3' })
    assert.equal([timeline, until], [3, undefined])
    for (const wrong of ['0', '-1', '1.5', 'x', ''])
      assert.match(refused(2, { timeline: wrong }), /--timeline .*a number from 1/, wrong)
  })

  test('is everything after a disaster: the newest backup, recorded or not, and all that was archived', () => {
    const { set, at, record, until } = target({ latest: true }, backups, [recorded(full)])
    assert.equal([set, at, record, until], [two, undefined, undefined, undefined])
    assert.is(target({ latest: true }, [full, noon, { ...two, damaged: true }]).set, noon)
  })
})

describe('what pgBackRest is told', ({ test }) => {
  test('is a restore point by its name, a moment in UTC, the end of a backup without a record, or that of the archive', () => {
    assert.equal(restoreOptions(target({})), [
      `--set=${two.label}`,
      '--type=name',
      `--target=backup-${two.label}`,
      '--target-action=promote',
      '--target-timeline=current',
    ])
    assert.equal(restoreOptions(target({ at: '2026-11-22T14:30:00.5+01:00' })), [
      `--set=${noon.label}`,
      '--type=time',
      '--target=2026-11-22 13:30:00.500+00',
      '--target-action=promote',
      '--target-timeline=current',
    ])
    assert.equal(restoreOptions(target({ set: two.label }, backups, [])), [
      `--set=${two.label}`,
      '--type=immediate',
      '--target-action=promote',
      '--recovery-option=recovery_target_timeline=current',
    ])
    const latest = restoreOptions(target({ latest: true, timeline: '2' }))
    assert.equal(latest, [`--set=${two.label}`, '--type=default', '--target-timeline=2'])
  })

  test('is for a person in words', () => {
    assert.is(targetText(target({})), `${two.label} as it was recorded`)
    assert.is(targetText(target({ at: '2026-11-22T13:00Z' })), `2026-11-22T13:00:00.000Z, from ${noon.label}`)
    assert.is(
      targetText(target({ set: two.label }, backups, [])),
      `${two.label} as it ended; it has no record`,
    )
    assert.is(targetText(target({ latest: true })), `the end of the archive, from ${two.label}`)
  })
})
