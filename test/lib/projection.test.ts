import * as assert from 'uvu/assert'
import type { PhysicalBackup } from '../../ops/lib/pgbackrest.ts'
import { projected } from '../../ops/lib/projection.ts'
import { describe } from '../describe.ts'
import { physical } from '../physical.ts'

const now = new Date('2026-11-22T12:00:00Z')
const holding = (repository: number, daily = 0) => ({ repository, daily })
const hoursAgo = (hours: number) => new Date(now.getTime() - hours * 3_600_000).toISOString()
const full = (hours: number, stored: number) => physical(hoursAgo(hours), { stored })
const incr = (hours: number, stored: number) =>
  physical(hoursAgo(hours), { stored, full: full(hours + 1, 0) })

describe('the bytes that the retention will come to need', ({ test }) => {
  test('are a full backup and 23 incremental ones for each day, and a day more', () => {
    assert.is(
      projected([full(48, 1000), incr(47, 10), full(24, 3000), incr(23, 30)], 90, holding(4040), now),
      91 * (2000 + 23 * 20),
    )
  })

  test('are also WAL as it came in so far: what is there and is no backup', () => {
    assert.is(projected([full(48, 1000)], 9, holding(1000 + 600), now), 10 * (1000 + 600 / 2))
    assert.is(projected([full(48, 1000)], 9, holding(400), now), 10 * 1000, 'never less than nothing')
  })

  test('are also a dump and the files of each day', () => {
    assert.is(projected([full(48, 1000)], 9, holding(1000, 50), now), 10 * (1000 + 50))
  })

  test('are not told in the first day, nor from nothing', () => {
    assert.is(projected([full(23.9, 1000), incr(2, 10)], 90, holding(5000), now), null)
    assert.type(projected([full(24, 1000)], 90, holding(5000), now), 'number')
    assert.is(projected([], 90, holding(5000), now), null)
  })

  test('are those of backups as they are now, not as they were when the database was small', () => {
    const small: PhysicalBackup[] = Array.from({ length: 60 }, (_, i) => full(2000 - i * 24, 0))
    const large = Array.from({ length: 24 }, (_, i) => full(24 * (24 - i), 1000))
    assert.is(projected([...small, ...large], 0, holding(24_000), now), 1000)
  })
})
