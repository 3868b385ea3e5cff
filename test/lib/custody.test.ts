import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { custodyText, depositPassphrase, probeBox } from '../../ops/lib/custody.ts'
import { Fail } from '../../ops/lib/fail.ts'
import { fingerprintOf } from '../../ops/lib/fingerprint.ts'
import { serverBox } from '../../ops/lib/storagebox.ts'
import { clean } from '../bash.ts'
import { describe } from '../describe.ts'
import { Captor, Listener } from '../hosts.ts'

const box = serverBox({
  STORAGEBOX_USER: 'u1-sub1',
  STORAGEBOX_HOST: 'box.example',
  STORAGEBOX_PORT: '2323',
  STORAGEBOX_DIR: 'backups',
  STORAGEBOX_SSH_KEY: 'key',
  STORAGEBOX_KNOWN_HOSTS: 'known',
})

describe('the passphrase in custody', ({ test, before, after }) => {
  let dir = ''
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'custody-'))
    for (const name of ['a.asc', 'b.asc']) writeFileSync(join(dir, name), '')
  })
  after(() => rmSync(dir, { recursive: true, force: true }))

  const passphrase = 'a passphrase of the repository'
  /** Deposits it on a box whose repository has this fingerprint; a dry run, so that gpg is not needed. */
  const deposit = async (there: string, BACKUP_GPG_RECIPIENTS = 'a.asc,b.asc') => {
    const host = new Captor((script) => (script.includes('box cat') ? there : ''))
    const session = new Listener(true)
    const env = { BACKUP_GPG_RECIPIENTS, BACKUP_CIPHER_PASS: passphrase }
    const work = depositPassphrase(host, session, box, join(dir, '.env'), env)
    const error = await work.catch((thrown: unknown) => thrown)
    await session.end()
    return { host, error, session }
  }

  test('takes the place of the same one, and of none', async () => {
    for (const there of ['', fingerprintOf(passphrase)]) {
      const { error } = await deposit(there)
      assert.is(error, undefined)
    }
  })

  test('never takes the place of another one, which opens the backups that are there', async () => {
    const { error, host } = await deposit(fingerprintOf('another passphrase'))
    assert.ok(error instanceof Fail, String(error))
    assert.is(error.exitCode, 3)
    assert.match(error.message, /were made with another passphrase than BACKUP_CIPHER_PASS/)
    assert.not.match(error.message, /a passphrase of the repository/)
    assert.is(host.scripts.length, 1, 'nothing was written')
  })

  test('needs somebody to keep it', async () => {
    const { error } = await deposit('', '')
    assert.ok(error instanceof Fail && error.exitCode === 2, String(error))
  })

  test('is bash that ShellCheck has nothing to say about, as is the look at what the box allows', async () => {
    const host = new Captor()
    await probeBox(host, new Listener(), box)
    clean(...host.scripts, ...(await deposit('')).host.scripts)
  })

  test('comes back with a command that knows the port', () => {
    assert.match(custodyText(box), /ssh -p 2323 u1-sub1@box\.example cat backups\/custody\//)
  })
})
