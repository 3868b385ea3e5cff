import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { taken } from '../../ops/lib/rescue-host.ts'
import { describe } from '../describe.ts'

describe('the rescue system, reached', ({ test }) => {
  test('shows the fingerprint of the key that ssh took from it', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'rescue-host-'))
    const file = join(dir, 'key')
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file])
    const [type, key] = readFileSync(`${file}.pub`, 'utf8').split(' ')
    writeFileSync(join(dir, 'known_hosts'), `192.0.2.1 ${type} ${key}\n`)
    const own = execFileSync('ssh-keygen', ['-lf', `${file}.pub`], { encoding: 'utf8' })
    const shown = await taken(join(dir, 'known_hosts'))
    assert.match(shown, /^SHA256:\S{43} \(ED25519\)$/)
    assert.ok(own.includes(shown.split(' ')[0] ?? 'nothing'))
    rmSync(dir, { recursive: true })
  })
})
