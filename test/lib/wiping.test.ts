import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import type { Custodian } from '../../ops/lib/custodian.ts'
import type { Header } from '../../ops/lib/header.ts'
import { layoutOf, type Stage } from '../../ops/lib/layout.ts'
import { closeRoot } from '../../ops/lib/new-root.ts'
import { makeReady, type Provisioning, wipe } from '../../ops/lib/wiping.ts'
import { clean } from '../bash.ts'
import { describe, rejects } from '../describe.ts'
import { folders } from '../folders.ts'
import { Listener } from '../hosts.ts'
import { dumped, Rescue, uuid } from '../provisioning.ts'

const cost = { memory: 65536, iterations: 4, parallel: 2 }
const custodians: Custodian[] = ['alice', 'bob'].map((name) => ({
  name,
  key: `ssh-ed25519 ${name}`,
  fingerprint: `SHA256:${name}`,
}))
const passphrases = ['correct horse one 12345', 'correct horse two 67890']
const slotOf = (slot: number): Header['slots'][number] => {
  const { name, fingerprint } = custodians[slot] as Custodian
  return { slot, kdf: 'argon2id', ...cost, custodian: name, fingerprint }
}
const key = (fill: string) => `ssh-ed25519 ${fill.repeat(68)}`

describe('provisioning a disk that may be lost', ({ test, before, after }) => {
  const folder = folders({ before, after })

  /** A rescue system whose disk has some slots, and a root with some phases done. */
  const world = (slots: Header['slots'], phases: readonly string[] = []) => {
    const marks = [...phases]
    const host = new Rescue((script) => {
      const [, mark] = /^echo '(\S+) [^']*' >>? /m.exec(script) ?? []
      if (mark) marks.push(mark)
      if (script.includes('luksDump --dump-json-metadata') && !script.includes('luksHeaderBackup'))
        return dumped(slots)
      if (script.includes('luksFormat'))
        slots.push({ ...slotOf(0), custodian: undefined, fingerprint: undefined })
      if (script.includes('luksAddKey')) slots.push(slotOf(1))
      else if (script.includes('token import')) slots[0] = slotOf(0)
      if (script.includes('find /mnt') || script.includes('lost+found')) return marks.join(' x\n')
      if (/^cryptsetup luksUUID/.test(script)) return `${uuid}\nboot-uuid`
      if (script.includes('dropbearkey -y')) return `${key('A')}\n${key('B')}`
      if (script.includes('slot in')) return '0'
      return ''
    })
    const dir = folder()
    const archive = join(dir, 'root.tar.zst')
    writeFileSync(archive, 'a root')
    const session = new Listener()
    const names: string[] = []
    const to: Provisioning = {
      ...{ host, here: host, session, envFile: join(dir, '.env'), layout: layoutOf('/dev/sda') },
      timed: (name, work) => {
        names.push(name)
        return work()
      },
      env: {
        ...{
          SERVER_HOST: '192.0.2.1',
          SERVER_SSH_PORT: '22',
          SERVER_KNOWN_HOSTS: 'known',
          UNLOCK_PORT: '2222',
        },
        UNLOCK_KNOWN_HOSTS: 'unlock',
      } as Provisioning['env'],
      ...{ custodians, passphrases, cost },
      system: {
        ...{
          hostname: 'h',
          network: { kind: 'dhcp', ipv6: undefined },
          custodians,
          keys: ['ssh-ed25519 op'],
        },
        ...{ unlockPort: '2222', console: 'tty0' },
      },
    }
    return { host, to, names, archive, marks, dir, session }
  }
  const run = async (one: ReturnType<typeof world>, stage: Stage) => {
    const done = await wipe(one.to, stage, 40e9, one.archive)
    await makeReady(one.to, [...done, 'header:20261123T000000Z'])
  }

  test('runs every phase in order, in bash that ShellCheck has nothing to say about', async () => {
    const one = world([])
    await run(one, 'blank')
    await closeRoot(one.host, one.session)
    assert.equal(one.names, [
      ...['partition', 'format', 'key slots', 'open', 'file systems', 'install', 'configure', 'boot loader'],
      ...['verify offline', 'pin the host keys'],
    ])
    clean(...one.host.scripts)
    const at = (word: string) => one.host.scripts.findIndex((script) => script.includes(word))
    const order = [
      'sgdisk --zap-all',
      'luksFormat',
      'luksAddKey',
      'mkfs.ext4',
      'sha256sum',
      '--no-overwrite-dir',
      'grub-install',
      'unmkinitramfs',
    ]
    assert.equal(
      order.map(at),
      [...order.map(at)].sort((a, b) => a - b),
    )
    assert.ok(
      order.every((word) => at(word) >= 0),
      order.map(at).join(),
    )
  })

  test('gives a passphrase to nothing but stdin', async () => {
    const one = world([])
    await run(one, 'blank')
    for (const passphrase of passphrases)
      assert.not.ok(
        [...one.host.scripts, ...one.host.fed, ...one.session.said].join('\n').includes(passphrase),
      )
    const format = one.host.scripts.findIndex((script) => script.includes('luksFormat'))
    assert.is(one.host.inputs[format], passphrases[0])
  })

  test('does again what was half done, and nothing that is done', async () => {
    const half = world([slotOf(0)], ['begun'])
    await run(half, 'formatted')
    assert.equal(half.names.slice(0, 4), ['key slots', 'open', 'file systems', 'install'])
    const installed = world([slotOf(0), slotOf(1)], ['begun', 'installed'])
    await run(installed, 'formatted')
    assert.equal(installed.names.slice(0, 3), ['key slots', 'open', 'configure'])
    const marks = installed.marks
    const ready = world([slotOf(0), slotOf(1)], marks)
    await run(ready, 'formatted')
    assert.equal(ready.names, ['key slots', 'open', 'verify offline', 'pin the host keys'])
    const renamed = world([slotOf(0), slotOf(1)], marks)
    renamed.to.system.hostname = 'other'
    await run(renamed, 'formatted')
    assert.ok(renamed.names.includes('configure') && renamed.names.includes('boot loader'))
  })

  test('refuses a slot that is somebody else’s', async () => {
    const other = world([slotOf(0), { ...slotOf(1), custodian: 'carol', fingerprint: 'SHA256:carol' }])
    await rejects(() => run(other, 'formatted'), /slot 1 of \/dev\/sda3 is carol's, not bob's/)
  })
})
