import * as assert from 'uvu/assert'
import { isSpare, lastKept, spareName } from '../../ops/lib/spares.ts'
import { describe } from '../describe.ts'

describe('spare databases', ({ test }) => {
  test('are known by their name, and nothing else is one', () => {
    assert.is(spareName('before', '20261122T205310Z'), 'everyskill_before_20261122t205310z')
    assert.ok(isSpare('everyskill_restore_20261122t205310z'))
    for (const name of [
      'everyskill',
      'postgres',
      'template1',
      'everyskill_before_',
      'x; drop database everyskill',
    ])
      assert.not.ok(isSpare(name), name)
  })

  test('an undo goes back to the one that was live last, never to an unfinished restore', () => {
    const names = [
      'everyskill',
      'everyskill_before_20260101t000000z',
      'everyskill_undone_20260103t000000z',
      'everyskill_restore_20260104t000000z',
      'everyskill_before_20260102t000000z',
    ]
    assert.is(lastKept(names), 'everyskill_undone_20260103t000000z')
    assert.is(lastKept(['everyskill']), undefined)
  })
})
