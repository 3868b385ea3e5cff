import * as assert from 'uvu/assert'
import { fingerprintOf, isFingerprint } from '../../ops/lib/fingerprint.ts'
import { describe } from '../describe.ts'

describe('a fingerprint', ({ test }) => {
  const made = fingerprintOf('correct horse battery')

  test('is known again, and each is another one', () => {
    assert.ok(isFingerprint(made, 'correct horse battery'))
    assert.is.not(fingerprintOf('correct horse battery'), made)
    assert.match(made, /^[0-9a-f]{32}:[0-9a-f]{64}\n$/)
  })

  test('is not that of another secret, nor is a damaged one', () => {
    assert.not.ok(isFingerprint(made, 'correct horse batterz'))
    for (const text of ['', ':', made.slice(1), `${made.trim()}0`, made.replace(':', '')])
      assert.not.ok(isFingerprint(text, 'correct horse battery'), text)
  })
})
