import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { codes } from '../../ops/lib/exclusive.ts'
import { roomShell } from '../../ops/lib/room.ts'
import { clean } from '../bash.ts'
import { describe } from '../describe.ts'

const GB = 1024 ** 3

describe('the reserve of a disk', ({ test, before, after }) => {
  let dir = ''
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'room-'))
    const df = 'echo "$@" > "$0.asked"\n[ -n "$SIZE" ] || exit 1\necho "1B-blocks Avail"\necho "$SIZE $AVAIL"'
    writeFileSync(join(dir, 'df'), `#!/bin/bash\n${df}\n`, { mode: 0o755 })
  })
  after(() => rmSync(dir, { recursive: true, force: true }))

  /** Asks for room on a disk of a size with so much of it free. */
  const room = (size: number | '', free: number, bytes: number) => {
    const env = {
      ...process.env,
      PATH: `${dir}:${process.env.PATH}`,
      SIZE: String(size),
      AVAIL: String(free),
    }
    const script = `${roomShell().text}\nroom /some/where ${bytes}\necho on`
    return spawnSync('bash', ['--norc', '-euo', 'pipefail', '-c', script], { env, encoding: 'utf8' })
  }

  test('is a tenth of a small disk, to the byte', () => {
    assert.equal([room(10 * GB, 2 * GB, GB).status, room(10 * GB, 2 * GB, GB).stdout], [0, 'on\n'])
    assert.is(room(10 * GB, 2 * GB, GB + 1).status, codes.refused)
    assert.is(room(10 * GB, GB, 0).status, 0)
    assert.is(room(10 * GB, GB - 1, 0).status, codes.refused)
  })

  test('is never more than 5 GB of a large one', () => {
    assert.is(room(1000 * GB, 6 * GB, GB).status, 0)
    assert.is(room(1000 * GB, 6 * GB, GB + 1).status, codes.refused)
  })

  test('ends the script, with the figures that a person needs', () => {
    const { stdout, stderr } = room(10 * GB, 1.5 * GB, 2 * GB)
    assert.is(stdout, '')
    assert.match(
      stderr,
      /^no room on the file system of \/some\/where: 1536 MB are free, this needs 2048 MB, and 1024 MB/,
    )
  })

  test('is not taken for granted when the disk cannot be asked', () => {
    assert.not.equal([room('', 0, 0).status, room('', 0, 0).stdout], [0, 'on\n'])
    assert.not.match(room('', 0, 0).stdout, /on/)
  })

  test('is a function that ShellCheck has nothing to say about', () => clean(`${roomShell().text}\nroom / 0`))
})
