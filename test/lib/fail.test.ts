import * as assert from 'uvu/assert'
import { exitCodes, Fail, type Outcome } from '../../ops/lib/fail.ts'
import { describe } from '../describe.ts'

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
})
