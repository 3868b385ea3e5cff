import * as assert from 'uvu/assert'
import { endOf, folderOf, isSegment, position, timelineOf } from '../../ops/lib/wal.ts'
import { describe, rejects } from '../describe.ts'

describe('positions in the WAL', ({ test }) => {
  test('are bytes: the part before the slash counts 4 GiB', () => {
    assert.is(position('0/3000028'), 0x3000028n)
    assert.is(position('1/0'), 2n ** 32n)
    assert.is(position('a/ff'), 0xa000000ffn)
    assert.is(position('FFFFFFFF/FFFFFFFF'), 2n ** 64n - 1n)
  })

  test('are compared as numbers, where their words would stand the other way round', () => {
    assert.ok(position('10/0') > position('9/FFFFFFFF'))
    assert.ok(position('0/10000000') > position('0/9000000'))
  })

  test('that are none are refused', async () => {
    for (const text of ['', '0', '0/', '/1', '0/3000028 ', '0/x', '123456789/0', '0/1\n'])
      await rejects(async () => position(text), /is no position in the WAL/)
  })
})

describe('WAL segments', ({ test }) => {
  const hash = 'a'.repeat(40)

  test('end where the next one begins, at the seam of two files of 4 GiB too', () => {
    assert.is(endOf('000000010000000000000003'), position('0/4000000'))
    assert.is(endOf('0000000100000000000000FF'), position('1/0'))
    assert.is(endOf('000000020000000A00000001'), position('A/2000000'))
    assert.is(endOf(`000000010000000000000003-${hash}.zst`), position('0/4000000'))
  })

  test('have no end when they are none', () => {
    assert.throws(() => endOf('archive.info'), /archive\.info is no WAL segment/)
    assert.throws(() => endOf('00000001000000000000000'), /is no WAL segment/)
  })

  test('are known by their name, plain or as the archive keeps them', () => {
    const name = '000000010000000000000003'
    for (const one of [name, `${name}-${hash}`, `${name}-${hash}.zst`, `${name}-${hash}.gz`])
      assert.ok(isSegment(one), one)
    for (const one of [
      '',
      '00000002.history',
      `${name}.00000028.backup`,
      `${name.slice(1)}`,
      `${name}-${hash.slice(1)}`,
      `${name}-${hash}.pgbackrest.tmp`,
      name.toLowerCase().replace('3', 'a'),
    ])
      assert.not.ok(isSegment(one), one)
  })

  test('belong to a timeline, counted in hexadecimal, and lie in a folder of 256', () => {
    assert.is(timelineOf('0000001F0000000000000003'), 31)
    assert.is(folderOf('0000001F000000A20000000B'), '0000001F000000A2')
  })
})
