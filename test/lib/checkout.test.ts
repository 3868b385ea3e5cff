import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { $ } from 'zx'
import { checkout } from '../../ops/lib/checkout.ts'
import { describe, rejects } from '../describe.ts'

describe('checkout', ({ test, before, after }) => {
  let dir = ''
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'checkout-'))
    writeFileSync(join(dir, 'package.json'), '{}')
  })
  after(() => rmSync(dir, { recursive: true, force: true }))

  test('a release is named after a clean commit', async () => {
    await rejects(() => checkout(dir, false), /not a git checkout/)
    const git = $({ input: '' })
    await git`git -C ${dir} init -q && git -C ${dir} add -A && git -C ${dir} -c user.name=t -c user.email=t@t commit -qm first`
    const { sha } = await checkout(dir, false)
    assert.match(sha, /^[0-9a-f]{40}$/)
    writeFileSync(join(dir, 'new.txt'), 'x')
    await rejects(() => checkout(dir, false), /new\.txt[\s\S]*--dirty/)
    assert.is((await checkout(dir, true)).sha, `${sha}-dirty`)
    writeFileSync(join(dir, '.git/index'), 'broken')
    await rejects(() => checkout(dir, false), /not a git checkout[\s\S]*index file/)
  })
})
