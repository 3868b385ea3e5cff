import * as assert from 'uvu/assert'
import { Fail } from '../../ops/lib/fail.ts'
import { parseRecord, recordOf, setSummary } from '../../ops/lib/set.ts'
import { describe } from '../describe.ts'
import { physical } from '../physical.ts'

const full = physical('2026-11-22T10:00:00Z', { wal: 2 })
const incr = physical('2026-11-22T11:00:00Z', { wal: 5, full })
const known = { point: 'backup-20261122T110000Z', tool: 'abc' }
const facts = [
  'lsn\t0/6000108',
  'segment\t000000010000000000000006',
  'rows\tpublic.documents\t20',
  'rows\tpublic."odd\tname"\t3',
  'postgres\t17.11 (Debian)',
  'pgvector\t0.8.0',
  'system\t7000000000000000001',
  `sha256\t${'c'.repeat(64)}`,
  'release\t',
  'info\t[]',
]
const without = (head: string) => facts.filter((line) => !line.startsWith(`${head}\t`)).join('\n')

describe('the record of a physical backup', ({ test }) => {
  test('is made of the catalogue and of the facts of the marking', () => {
    const record = recordOf(incr, facts.join('\n'), known)
    assert.equal(record.rows, { 'public.documents': 20, 'public."odd\tname"': 3 })
    assert.equal(record.wal, { start: incr.wal.start, point: '000000010000000000000006' })
    assert.equal([record.label, record.type, record.lsn], [incr.label, 'incr', '0/6000108'])
    assert.equal(
      [record.startedAt, record.stoppedAt],
      ['2026-11-22T11:00:00.000Z', '2026-11-22T11:01:00.000Z'],
    )
    assert.equal([record.point, record.tool, record.release], [known.point, 'abc', null])
    assert.equal([record.postgres, record.pgvector], ['17.11 (Debian)', '0.8.0'])
    assert.is(record.system, '7000000000000000001')
  })

  test('is read back as it was written', () => {
    for (const backup of [full, incr]) {
      const record = recordOf(backup, facts.join('\n'), known)
      assert.equal(parseRecord(JSON.stringify(record), 'it'), record)
    }
  })

  test('has no rows when the tables were too busy, which is not the same as none', () => {
    const busy = recordOf(
      full,
      ['busy\tyes', ...facts.filter((line) => !line.startsWith('rows'))].join('\n'),
      known,
    )
    assert.is(busy.rows, null)
    assert.equal(recordOf(full, without('rows'), known).rows, {})
    assert.match(setSummary(busy), /rows not counted$/)
  })

  test('is not made when a fact is missing without which nobody could prove a restore', () => {
    for (const head of ['lsn', 'segment', 'sha256', 'postgres', 'system'])
      assert.throws(() => recordOf(full, without(head), known), new RegExp(`told nothing about its ${head}$`))
    assert.is(recordOf(full, without('pgvector'), known).pgvector, null)
  })

  test('is refused when it is cut off, of another format, or of no backup', () => {
    const good = recordOf(full, facts.join('\n'), known)
    const text = JSON.stringify(good)
    const wrong: unknown[] = [
      { ...good, format: 2 },
      { ...good, label: '../../etc' },
      { ...good, label: '20261122T110000Z' },
      { ...good, sha256: 'x' },
      { ...good, rows: { a: '1' } },
      { ...good, wal: { start: good.wal.start } },
    ]
    for (const one of [text.slice(0, -5), '', 'null', '[]', ...wrong.map((value) => JSON.stringify(value))]) {
      try {
        parseRecord(one, 'a record on the box')
        assert.unreachable(one)
      } catch (error) {
        assert.ok(error instanceof Fail, one)
        assert.match((error as Fail).message, /^a record on the box is damaged: /)
        assert.is((error as Fail).exitCode, 6)
      }
    }
  })

  test('fits into one line', () => {
    const said = setSummary(recordOf(incr, facts.join('\n'), known))
    assert.is(said, `${incr.label}: incr, 100 bytes stored of 1000, 23 rows in 2 tables`)
  })
})
