import * as assert from 'uvu/assert'
import { recipientsIn } from '../../ops/lib/recipients.ts'
import { describe } from '../describe.ts'

/** What gpg 2.2.40 prints with `--with-colons --show-keys`. */
const pub = (validity: string, expiry: string, can: string) =>
  `pub:${validity}:3072:1:BB8E4DCA38129CA9:1795393996:${expiry}::u:::${can}::::::23::0:\nfpr:::::::::5CB3BD7C29273BFC543DBE68BB8E4DCA38129CA9:\nuid:u::::1795393996::2B89::a name::::::::::0:\n`
const sub = (validity: string, expiry: string) =>
  `sub:${validity}:3072:1:884CC2AB7280245C:1795393996:${expiry}:::::e::::::23:\nfpr:::::::::8183BC120552308E3CB8830A884CC2AB7280245C:\n`

describe('recipients', ({ test }) => {
  const expires = (colons: string) => recipientsIn(colons).map((key) => key.expires)

  test('are known by the fingerprint of their main key', () => {
    assert.equal(recipientsIn(pub('u', '', 'scESC') + sub('u', '')), [
      { fingerprint: '5CB3BD7C29273BFC543DBE68BB8E4DCA38129CA9', expires: null },
    ])
  })

  test('end with the main key, or with the last subkey that encrypts', () => {
    assert.equal(expires(pub('u', '1858465996', 'scESC') + sub('u', '')), [new Date(1858465996_000)])
    const two = sub('u', '1800000000') + sub('u', '1850000000')
    assert.equal(expires(pub('u', '1858465996', 'scESC') + two), [new Date(1850000000_000)])
  })

  test('have ended when they were revoked, or cannot encrypt', () => {
    const never = new Date(0)
    assert.equal(expires(pub('u', '', 'scSC')), [never])
    assert.equal(expires(pub('u', '', 'scESC') + sub('r', '')), [never])
    assert.equal(expires(pub('r', '', 'scESC') + sub('u', '')), [never])
  })

  test('are counted, for gpg would take the first of a file only', () => {
    const key = pub('u', '', 'scESC') + sub('u', '')
    assert.is(recipientsIn(key + key).length, 2)
    assert.is(recipientsIn('').length, 0)
  })
})
