import * as assert from 'uvu/assert'
import { daysLeft } from '../../ops/lib/site.ts'
import { describe } from '../describe.ts'

const day = 86_400_000

describe('site', ({ test }) => {
  test('counts whole days to the end of a certificate', () => {
    const at = (ms: number) => daysLeft({ valid_to: new Date(Date.now() + ms).toUTCString() } as never)
    assert.is(at(2.5 * day), 2)
    assert.is(at(-0.5 * day), -1)
  })
})
