import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { privateDir } from '../../ops/lib/private-dir.ts'
import { Session } from '../../ops/lib/session.ts'
import { describe } from '../describe.ts'

describe('a private folder', ({ test, before, after }) => {
  let base = ''
  before(() => {
    base = mkdtempSync(join(tmpdir(), 'private-'))
  })
  after(() => rmSync(base, { recursive: true }))

  test('can be entered by nobody else, and goes with its script', async () => {
    const session = new Session({ dryRun: false, quiet: true })
    const dir = privateDir(session, base)
    assert.is(statSync(dir).mode & 0o777, 0o700)
    await session.end()
    assert.not(existsSync(dir))
  })

  test('of a killed script goes when the next one begins; those of running ones and of others stay', () => {
    const dead = spawnSync('true').pid
    const folder = (name: string) => join(base, name)
    const [left, running, other] = [
      `everyskill-${dead}-abcdef`,
      `everyskill-${process.pid}-abcdef`,
      'everyskill',
    ]
    for (const name of [left, running, other]) mkdirSync(folder(name))
    privateDir(new Session({ dryRun: false, quiet: true }), base)
    assert.equal(
      [left, running, other].map((name) => existsSync(folder(name))),
      [false, true, true],
    )
  })
})
