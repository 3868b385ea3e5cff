/**
 * The runbook of the custodians, pasted as it stands, with real cryptsetup and gpg on a disk that is a file. How the script finds
 * its host and the rescue system is not in it: runbooks.luks.test.ts.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { readHeader } from '../../ops/lib/header.ts'
import { Host } from '../../ops/lib/host.ts'
import { isLabel } from '../../ops/lib/manifest.ts'
import { describe } from '../describe.ts'
import { custodiansScript, encryptedHost } from '../encrypted.ts'
import { folders } from '../folders.ts'
import { headerBoxIn } from '../header-box.ts'
import { Listener } from '../hosts.ts'
import { play } from './play.ts'
import { readRunbook } from './runbook.ts'

const passphraseOf = (name: string) => `the long passphrase of ${name}`

describe('custodians.md', { timeout: 240_000 }, ({ test, before, after }) => {
  const folder = folders({ before, after })

  test('adds and revokes a custodian, and brings a header back', async () => {
    const dir = folder()
    const { path } = headerBoxIn(dir)
    const headers = join(dir, 'box/backups/luks-headers')
    for (const name of ['alice', 'bob', 'carol'])
      execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', join(dir, name)])
    const disk = await encryptedHost(folder(), join(dir, 'alice.pub'), passphraseOf('alice'))
    const envFile = join(dir, '.env')
    const program = (name: string, body: string) => {
      writeFileSync(join(dir, 'bin', name), `#!/bin/bash\n${body}\n`, { mode: 0o755 })
      return join(dir, 'bin', name)
    }
    // A disk that was encrypted where it lay: the third partition is another one.
    program(
      'lsblk',
      `case "$*" in *NAME,PARTUUID) printf '%s\\n' "/dev/sda " "${disk} 0a1b-01" "/dev/sda3 0a1b-03" ;; *PARTUUID*) echo 0a1b-01 ;; esac`,
    )
    // What the script says of the way to the rescue system, the verbs do not.
    program(
      'npx',
      `shift 3
[ "$1" != restore-header ] || [ "$2" = ${disk} ] || { echo "there is no $2"; exit 3; }
[ "$1" != restore-header ] || echo "✓ wait for the rescue system 0.0 s"
"${process.execPath}" --import tsx ${custodiansScript} ${join(disk, '..')} ${disk} "$@" && { [ "$1" != restore-header ] || echo "✓ put the header back 0.0 s
$2 has the header of x again; it opens for y"; }`,
    )
    const rescue = program('in-rescue', `[ "$1" != -t ] || shift\nexec bash -c "$*"`)
    const values = {
      ...{ ENV_FILE: envFile, KEY: 'carol.pub', in_rescue: rescue },
      on_box: `ssh -n -i ${dir}/key -o 'UserKnownHostsFile="${dir}/known"' box.example`,
      decrypt: `gpg --quiet --homedir ${join(dir, 'gpg-b')} --decrypt`,
    }
    const lines = (...names: string[]) => names.map((name) => `${passphraseOf(name)}\n`).join('')
    const first = process.env.PATH
    process.env.PATH = path
    try {
      const setUp = (words: string[], input: string) =>
        execFileSync('npx', ['tsx', 'x', '--custodians', ...words, '--env', envFile], {
          input,
          stdio: 'pipe',
        })
      setUp(['add', 'alice', 'alice.pub'], '')
      setUp(['add', 'bob', 'bob.pub'], lines('alice', 'bob'))
      // What a call leaves that is cut short before the last rename.
      mkdirSync(join(headers, '20991231T000000Z.part'))
      await play(readRunbook('runbooks/custodians.md'), values, 200, {
        '--custodians add': lines('alice', 'carol'),
        '--custodians verify': lines('carol'),
        '--custodians revoke': lines('carol'),
        '--test-passphrase': passphraseOf('carol'),
      })
    } finally {
      process.env.PATH = first
    }
    const [left = '', ...others] = readdirSync(headers)
    assert.equal([isLabel(left), others], [true, []])
    const { slots } = await readHeader(new Host('local', [], new Listener()), disk)
    assert.equal(
      slots.map((one) => one.custodian),
      ['alice', 'carol'],
    )
  })
})
