import * as assert from 'uvu/assert'
import { Fail } from '../../ops/lib/fail.ts'
import { judge } from '../../ops/lib/prompt-answer.ts'
import { checkRoot, promptAt, unlock } from '../../ops/lib/unlocking.ts'
import { clean } from '../bash.ts'
import { describe, rejects } from '../describe.ts'
import { Captor, Listener } from '../hosts.ts'

const host = { name: 'server.example.com' }

describe('the answer of the unlock prompt', ({ test }) => {
  /** The exit code that an answer leads to; 0: unlocked. Undefined: nobody knows yet. */
  function outcome(code: number | null, stdout: string, stderr: string): number | undefined {
    try {
      return judge(host, code, stdout, stderr) ? 0 : undefined
    } catch (error) {
      assert.ok(error instanceof Fail, String(error))
      assert.match(error.message, 'server.example.com')
      return error.exitCode
    }
  }
  const asked = 'Please unlock disk cryptroot\n'
  const answers: [
    what: string,
    exitCode: number | undefined,
    code: number | null,
    stdout: string,
    stderr: string,
  ][] = [
    ['unlocked', 0, 0, asked, 'cryptsetup: cryptroot set up successfully\n'],
    [
      'unlocked, and the connection went',
      0,
      255,
      asked,
      'cryptsetup: cryptroot set up successfully\nclosed by remote host',
    ],
    ['nothing left to unlock', 0, 0, '', ''],
    ['went on before it could answer', undefined, 255, asked, 'Connection to server closed by remote host.'],
    [
      'took longer than the initramfs waits',
      undefined,
      1,
      asked,
      'Error: Timeout reached while waiting for PID 123.',
    ],
    ['a wrong passphrase', 6, 1, asked, 'cryptsetup: cryptsetup failed, bad password or options?\n'],
    ['the last of its tries', 6, 1, asked, 'cryptsetup: maximum number of tries exceeded for cryptroot'],
    ['too early', 1, 1, '', 'Try again later'],
    ['no prompt behind it', 1, 1, '', 'Error: Timeout reached while waiting for askpass.'],
    ['a key that it does not know', 3, 255, '', 'root@host: Permission denied (publickey).'],
    [
      'a private key that others can read',
      2,
      255,
      '',
      'Load key "/keys/alice": bad permissions\r\nroot@host: Permission denied (publickey).',
    ],
    ['another host key', 3, 255, '', 'Host key verification failed.'],
    [
      'a host key of another kind than the pinned one',
      3,
      255,
      '',
      'No RSA host key is known for host and you have requested strict checking.\r\nHost key verification failed.',
    ],
    [
      'no kind of host key in common',
      5,
      255,
      '',
      'Unable to negotiate with host port 2222: no matching host key type found. Their offer: ssh-dss',
    ],
    ['nobody there', 5, 255, '', 'ssh: connect to host 192.0.2.1 port 2222: Connection refused'],
    ['no answer in the time it has', 5, null, '', ''],
    ['something else', 1, 127, '', 'not found'],
  ]
  for (const [what, exitCode, ...answer] of answers) {
    test(`${what}: ${exitCode === undefined ? 'is looked at' : `ends with ${exitCode}`}`, () =>
      assert.is(outcome(...answer), exitCode))
  }

  test('no way there, and an answer that no prompt gives, say what to do', () => {
    const said = (code: number | null, stderr: string) => {
      try {
        judge(host, code, '', stderr)
      } catch (error) {
        return (error as Fail).message
      }
      return ''
    }
    assert.match(said(null, ''), /: no answer, in 180 s at most\. Run this again/)
    assert.match(said(255, 'Connection refused'), /: Connection refused\. Run this again/)
    assert.match(said(127, 'not found'), /Its console asks for the passphrase too/)
    assert.not.match(said(255, 'no matching host key type found'), /in between/)
  })
})

describe('the way to the unlock prompt', ({ test }) => {
  const { ssh } = promptAt('192.0.2.1', 2222, '/keys/unlock_known_hosts', '/keys/alice')

  test('trusts the pinned key only, shares no connection, and asks for no password', () => {
    const text = ssh.join(' ')
    for (const part of ['-p 2222', '-i /keys/alice', 'IdentitiesOnly=yes', 'StrictHostKeyChecking=yes'])
      assert.ok(text.includes(part), part)
    assert.match(text, 'UserKnownHostsFile="/keys/unlock_known_hosts"')
    assert.match(text, 'PreferredAuthentications=publickey')
    assert.match(text, 'ControlPath=none')
    assert.is(ssh.at(-1), 'root@192.0.2.1')
  })

  test('is only printed by a dry run', async () => {
    const session = new Listener(true)
    await unlock(session, promptAt('192.0.2.1', 2222, 'known', undefined), 'a passphrase nobody sees')
    assert.match(session.printed.join(), 'root@192.0.2.1')
    assert.not.match(session.printed.join(), 'nobody sees')
  })
})

describe('the root of the started host', ({ test }) => {
  test('is looked at with a clean script, and anything else than the unlocked disk ends with 6', async () => {
    const good = new Captor()
    await checkRoot(good)
    clean(...good.scripts)
    const bad = new Captor(() => ({ code: 74, stdout: '', stderr: 'its root is /dev/sda1' }))
    const error = await rejects(() => checkRoot(bad), /not from the encrypted disk: its root is \/dev\/sda1/)
    assert.is((error as Fail).exitCode, 6)
  })
})
