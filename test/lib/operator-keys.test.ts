import { execFileSync } from 'node:child_process'
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { operatorKeys, pinHostKey } from '../../ops/lib/operator-keys.ts'
import type { HostEnv } from '../../ops/lib/ssh.ts'
import { describe, rejects } from '../describe.ts'
import { folders } from '../folders.ts'

describe("the operator's keys", ({ test, before, after }) => {
  const folder = folders({ before, after })

  test('are the public half of the one that logs in, made from it where it is not there', async () => {
    const dir = folder()
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'op', '-f', join(dir, 'key')])
    const env = { SERVER_SSH_KEY: 'key' } as HostEnv
    const [known] = await operatorKeys(join(dir, '.env'), env)
    assert.match(known ?? '', /^ssh-ed25519 \S+ op$/)
    renameSync(join(dir, 'key.pub'), join(dir, 'elsewhere'))
    const [made] = await operatorKeys(join(dir, '.env'), env)
    assert.is(made?.split(' ')[1], known?.split(' ')[1])
    execFileSync('ssh-keygen', ['-q', '-p', '-N', 'locked away', '-P', '', '-f', join(dir, 'key')])
    await rejects(() => operatorKeys(join(dir, '.env'), env), /key\.pub does not exist: ssh-keygen -y/)
  })
})

describe('a pinned host key', ({ test, before, after }) => {
  const folder = folders({ before, after })

  test('takes the place of an older one of the same host and port, and of no other', () => {
    const dir = folder()
    const [env, file] = [join(dir, '.env'), join(dir, 'known')]
    writeFileSync(file, 'other ssh-ed25519 AAA\n192.0.2.1 ssh-rsa OLD\n[192.0.2.1]:2222 ssh-ed25519 BBB\n')
    assert.is(pinHostKey(env, 'known', '192.0.2.1', '22', 'ssh-ed25519 NEW root@host'), true)
    assert.is(
      readFileSync(file, 'utf8'),
      'other ssh-ed25519 AAA\n[192.0.2.1]:2222 ssh-ed25519 BBB\n192.0.2.1 ssh-ed25519 NEW\n',
    )
    assert.is(pinHostKey(env, 'known', '192.0.2.1', '22', 'ssh-ed25519 NEW'), false)
    assert.is(pinHostKey(env, 'sub/unlock', '192.0.2.1', '2222', 'ssh-ed25519 CCC'), false)
    assert.is(readFileSync(join(dir, 'sub/unlock'), 'utf8'), '[192.0.2.1]:2222 ssh-ed25519 CCC\n')
  })
})
