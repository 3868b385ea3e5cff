import * as assert from 'uvu/assert'
import { exitCodes, Fail, type Outcome, undoing } from '../../ops/lib/fail.ts'
import { describe, rejects } from '../describe.ts'

describe('Fail', ({ test }) => {
  test('has the documented exit code of its outcome', () => {
    const codes = Object.keys(exitCodes).map((outcome) => new Fail(outcome as Outcome, '').exitCode)
    assert.equal(codes, [0, 1, 2, 3, 4, 5, 6, 124])
  })

  test('is an Error with a message', () => {
    const failure = new Fail('locked', 'held by ann')
    assert.instance(failure, Error)
    assert.is(failure.message, 'held by ann')
    assert.is(failure.outcome, 'locked')
  })

  test('stays what it was after its undoing, and keeps its outcome and words when that fails too', async () => {
    const lost = new Fail('noConnection', 'the line is dead')
    const stays = new Fail('failed', 'web-blue stays')
    assert.is(await rejects(() => undoing(lost, async () => {}), /dead$/), lost)
    const both = await rejects(
      () => undoing(lost, () => Promise.reject(stays)),
      /^the line is dead\n.*stays$/,
    )
    assert.is((both as Fail).outcome, 'noConnection')
  })
})
