import * as assert from 'uvu/assert'
import { keepSecret, redact } from '../../ops/lib/redact.ts'
import { describe } from '../describe.ts'

describe('redact', ({ test }) => {
  test('puts the name in place of the value, everywhere in a text', () => {
    keepSecret('TOKEN', 'tok3n-value')
    assert.is(redact('a tok3n-value b\ntok3n-value'), 'a [TOKEN] b\n[TOKEN]')
  })

  test('hides the forms that the value takes in an address and in a header', () => {
    const value = 'p/ss+w0rd==?&x'
    keepSecret('PASSWORD', value)
    assert.is(redact(`postgresql://app:${encodeURIComponent(value)}@db`), 'postgresql://app:[PASSWORD]@db')
    assert.is(redact(`Basic ${Buffer.from(value).toString('base64')}`), 'Basic [PASSWORD]')
  })

  test('hides the longer of two secrets whole when one contains the other', () => {
    keepSecret('SHORT', 'aaaabbbb')
    keepSecret('LONG', 'aaaabbbbcccc')
    assert.is(redact('aaaabbbbcccc aaaabbbb'), '[LONG] [SHORT]')
  })

  test('takes a value with the signs of a pattern literally', () => {
    keepSecret('SIGNS', '$&.*+?^()[]|')
    assert.is(redact('x$&.*+?^()[]|y'), 'x[SIGNS]y')
  })

  test('leaves words alone that are too short to be secrets', () => {
    keepSecret('SMALL', 'deploy')
    assert.is(redact('deploy'), 'deploy')
  })
})
