/** Real cryptsetup on plain files; a cost that is only for tests. */
import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import type { Fail } from '../../ops/lib/fail.ts'
import { readHeader } from '../../ops/lib/header.ts'
import { Host } from '../../ops/lib/host.ts'
import { addSlot, killSlot, type NewSlot, slotOpenedBy } from '../../ops/lib/slots.ts'
import { describe, rejects } from '../describe.ts'
import { folders } from '../folders.ts'
import { cost, volumeIn } from '../header-box.ts'
import { Listener } from '../hosts.ts'

const [alice, bob, carol] = ['alice', 'bob', 'carol'].map((name) => ({
  name,
  key: '',
  fingerprint: `SHA256:${name}`,
})) as [NewSlot['custodian'], NewSlot['custodian'], NewSlot['custodian']]
const passphraseOf = (one: { name: string }) => `the passphrase of ${one.name} 'quoted' $HOME \\n`

describe('key slots', { timeout: 120_000 }, ({ test, before, after }) => {
  const folder = folders({ before, after })
  const session = new Listener()
  const host = new Host('local', [], session)

  /** A volume with a slot of alice's, and perhaps of bob's. */
  async function volume(...others: NewSlot['custodian'][]): Promise<string> {
    const file = volumeIn(folder(), passphraseOf(alice))
    await addSlot(host, session, file, { slot: 0, custodian: alice, passphrase: passphraseOf(alice), cost })
    for (const [i, custodian] of others.entries())
      await addSlot(host, session, file, newcomer(custodian, i + 1))
    return file
  }
  const newcomer = (custodian: NewSlot['custodian'], slot: number): NewSlot => ({
    ...{ slot, custodian, cost, opener: passphraseOf(alice), passphrase: passphraseOf(custodian) },
  })
  const opened = async (file: string, one: { name: string }) => {
    const slots = (await readHeader(host, file)).slots.map(({ slot }) => slot)
    return slotOpenedBy(host, session, file, slots, passphraseOf(one))
  }

  test('say whose they are and what a guess costs', async () => {
    const header = await readHeader(host, await volume(bob))
    assert.match(header.uuid, /^[0-9a-f]{8}-/)
    assert.equal([header.label, header.cipher, header.keyBits], ['everyskill', 'aes-xts-plain64', 512])
    const slot = { kdf: 'argon2id', ...cost }
    assert.equal(header.slots, [
      { slot: 0, ...slot, custodian: 'alice', fingerprint: 'SHA256:alice' },
      { slot: 1, ...slot, custodian: 'bob', fingerprint: 'SHA256:bob' },
    ])
  })

  test('open for their own custodian only', async () => {
    const file = await volume(bob)
    assert.equal(
      [await opened(file, alice), await opened(file, bob), await opened(file, carol)],
      [0, 1, undefined],
    )
  })

  test('are refused to a passphrase that another one has, and to an opener that opens nothing', async () => {
    const file = await volume(bob)
    const before = readFileSync(file)
    const same = { ...newcomer(carol, 2), passphrase: passphraseOf(bob) }
    const error = await rejects(() => addSlot(host, session, file, same), /carol opens this disk already/)
    assert.is((error as Fail).exitCode, 3)
    const stranger = { ...newcomer(carol, 2), opener: 'a passphrase that opens nothing' }
    await rejects(() => addSlot(host, session, file, stranger), /opens no key slot. Nothing was changed/)
    assert.ok(before.equals(readFileSync(file)), 'something was written')
  })

  test('are gone again when they could not be named', async () => {
    const file = await volume()
    const taken = { ...newcomer(bob, 1), custodian: { ...bob, name: 'x'.repeat(20_000) } }
    await rejects(() => addSlot(host, session, file, taken), /token/)
    assert.equal(
      (await readHeader(host, file)).slots.map((one) => one.slot),
      [0],
    )
  })

  test('are removed with their token, once another one is proved to open', async () => {
    const file = await volume(bob, carol)
    const kill = { slot: 1, token: 1, keep: 2, opener: passphraseOf(carol) }
    await killSlot(host, session, file, kill)
    const { slots, tokens } = await readHeader(host, file)
    assert.equal(
      [slots.map((one) => one.slot), tokens.map((one) => one.custodian)],
      [
        [0, 2],
        ['alice', 'carol'],
      ],
    )
    assert.equal([await opened(file, bob), await opened(file, carol)], [undefined, 2])
  })

  test('are not removed with the passphrase of the one that goes, nor is the last one', async () => {
    const file = await volume(bob)
    const before = readFileSync(file)
    const kill = { slot: 1, token: 1, keep: 0, opener: passphraseOf(bob) }
    await rejects(() => killSlot(host, session, file, kill), /does not open slot 0. Nothing was changed/)
    await rejects(() => killSlot(host, session, file, { ...kill, keep: 1 }), /cannot let itself be removed/)
    assert.ok(before.equals(readFileSync(file)), 'something was written')
  })

  test('the program alone would remove the last slot without a question', async () => {
    const file = await volume()
    const kill = ['luksKillSlot', '--key-file=-', file, '0']
    assert.is(spawnSync('cryptsetup', kill, { input: passphraseOf(alice) }).status, 0)
    assert.equal((await readHeader(host, file)).slots, [])
  })

  test('what is no LUKS2 header is told so', async () => {
    const file = join(folder(), 'empty')
    writeFileSync(file, Buffer.alloc(1 << 20))
    const error = await rejects(() => readHeader(host, file), /no LUKS2 header on it/)
    assert.is((error as Fail).exitCode, 6)
  })

  test('no passphrase is in any argv, environment or file', async () => {
    const dir = folder()
    // A cryptsetup that writes down what a look at the machine would show while it runs.
    const spy = `{ tr '\\0' '\\n' < /proc/$$/cmdline; tr '\\0' '\\n' < /proc/$$/environ; tr '\\0' '\\n' < /proc/$PPID/cmdline; } >> ${dir}/seen
exec ${execFileSync('bash', ['-c', 'command -v cryptsetup'], { encoding: 'utf8' }).trim()} "$@"`
    writeFileSync(join(dir, 'cryptsetup'), `#!/bin/bash\n${spy}\n`, { mode: 0o755 })
    const path = process.env.PATH
    const file = await volume()
    process.env.PATH = `${dir}:${path}`
    try {
      await addSlot(host, session, file, newcomer(bob, 1))
      await killSlot(host, session, file, { slot: 1, token: 1, keep: 0, opener: passphraseOf(alice) })
    } finally {
      process.env.PATH = path
    }
    const seen = readFileSync(join(dir, 'seen'), 'utf8')
    assert.match(seen, 'luksAddKey')
    for (const one of [alice, bob]) assert.not(seen.includes(passphraseOf(one)), seen)
  })
})
