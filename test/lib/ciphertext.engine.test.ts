/** Opening a backup with a private key that has a passphrase, with gpg and its agent, at a terminal and without one. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { describe } from '../describe.ts'
import { $, $try, ROOT } from '../lab/shell.ts'

/** Speaks as much Assuan as gpg-agent needs, answers with the passphrase, and writes down what it is told. */
const pinentry = (dir: string) => `#!/bin/bash
echo 'OK at your service'
while read -r line; do
  echo "$line" >> ${dir}/told
  [ "$line" != GETPIN ] || echo "D $(cat ${dir}/passphrase)"
  [ "$line" != BYE ] || exit 0
  echo OK
done
`

describe('a private key with a passphrase', ({ test, before, after }) => {
  let dir = ''
  const command = () => [process.execPath, '--import', 'tsx', 'test/fixtures/cli/opens.ts', dir, dir]
  const setting = (path = process.env.PATH) => ({ cwd: ROOT, env: { PATH: path, HOME: dir } })
  const forget = () => $try`gpgconf --homedir ${dir} --kill gpg-agent`

  before(async () => {
    dir = mkdtempSync('/tmp/gpg-')
    writeFileSync(join(dir, 'passphrase'), 'correct horse')
    writeFileSync(join(dir, 'pinentry'), pinentry(dir), { mode: 0o700 })
    writeFileSync(join(dir, 'gpg-agent.conf'), `pinentry-program ${join(dir, 'pinentry')}\n`)
    const gpg = ['gpg', '--homedir', dir, '--batch', '--quiet', '--pinentry-mode', 'loopback']
    await $`${gpg} --passphrase ${'correct horse'} --quick-generate-key ann ed25519 sign never`
    await $`${gpg} --list-keys --with-colons ann | awk -F : '$1 == "fpr" { print $10; exit }' | xargs -I{} ${gpg} --passphrase ${'correct horse'} --quick-add-key {} cv25519 encrypt never`
    for (const file of ['database.dump.gpg', 'globals.sql.gpg'])
      await $`echo secret | ${gpg} --trust-model always --recipient ann --encrypt > ${join(dir, file)}`
    await forget()
  })
  after(async () => {
    await forget()
    rmSync(dir, { recursive: true, force: true })
  })

  test('is asked for at the terminal of the script', async () => {
    const { ok, stdout } = await $try(setting())`script -qefc ${command().join(' ')} /dev/null`
    assert.ok(ok, stdout)
    assert.match(stdout, /it opens/)
    assert.match(readFileSync(join(dir, 'told'), 'utf8'), /^OPTION ttyname=\/dev\/pts\/\d+$/m)
  })

  test('that is not given ends with 6 and says so, and blames no file', async () => {
    await forget()
    writeFileSync(join(dir, 'passphrase'), 'wrong')
    const { exitCode, stderr } = await $try(setting())`${command()}`
    assert.is(exitCode, 6, stderr)
    assert.match(stderr, /or its passphrase was not given/)
    assert.not.match(stderr, /truncated or altered/)
  })

  test('and a machine without gpg: ends with 2, and blames neither key nor file', async () => {
    mkdirSync(join(dir, 'bin'))
    symlinkSync('/bin/bash', join(dir, 'bin/bash'))
    const { exitCode, stderr } = await $try(setting(join(dir, 'bin')))`${command()}`
    assert.is(exitCode, 2, stderr)
    assert.match(stderr, /a program is missing on this machine \(gpg is in the package gnupg\)/)
  })
})
