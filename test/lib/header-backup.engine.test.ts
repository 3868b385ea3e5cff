/** Real cryptsetup on plain files, real gpg, and a Storage Box that is a folder. */
import { execFileSync } from 'node:child_process'
import { closeSync, openSync, readdirSync, readFileSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import type { Fail } from '../../ops/lib/fail.ts'
import { readHeader } from '../../ops/lib/header.ts'
import { backUpHeader, refuseOther } from '../../ops/lib/header-backup.ts'
import { type HeaderManifest, headerBackups, headerBox, refuseHeader } from '../../ops/lib/header-manifest.ts'
import { restoreHeader } from '../../ops/lib/header-restore.ts'
import { Host } from '../../ops/lib/host.ts'
import { addSlot, killSlot, slotOpenedBy } from '../../ops/lib/slots.ts'
import { describe, rejects } from '../describe.ts'
import { folders } from '../folders.ts'
import { cost, headerBoxIn, volumeIn } from '../header-box.ts'
import { Listener } from '../hosts.ts'

const passphrase = 'the passphrase of alice'
const custodian = { name: 'alice', key: '', fingerprint: 'SHA256:alice' }

describe('a backup of the header', { timeout: 120_000 }, ({ test, before, after }) => {
  const folder = folders({ before, after })
  const session = new Listener()
  const host = new Host('local', [], session)
  let dir = ''
  const path = process.env.PATH
  const envFile = () => join(dir, '.env')
  let env: ReturnType<typeof headerBoxIn>['env']
  const box = () => headerBox(envFile(), env)

  before(() => {
    dir = folder()
    const made = headerBoxIn(dir)
    env = made.env
    process.env.PATH = made.path
  })
  after(async () => {
    process.env.PATH = path
    await session.end()
  })

  async function volume(): Promise<string> {
    const file = volumeIn(folder(), passphrase)
    await addSlot(host, session, file, { slot: 0, custodian, passphrase, cost })
    return file
  }
  const kept = (label: string, name: string) =>
    readFileSync(join(dir, 'box/backups/luks-headers', label, name))
  const damage = (file: string, bytes: number) => {
    const fd = openSync(file, 'r+')
    writeSync(fd, Buffer.alloc(bytes, 0x55))
    closeSync(fd)
  }
  /** Labels are seconds. */
  let last = ''
  async function backUp(file: string): Promise<{ label: string; sha256: string }> {
    while (new Date().toISOString().slice(0, 19) === last) await new Promise((done) => setTimeout(done, 50))
    last = new Date().toISOString().slice(0, 19)
    return backUpHeader(host, host, session, envFile(), env, file)
  }

  test('lies on the Storage Box, encrypted to each custodian, and brings an overwritten header back', async () => {
    const file = await volume()
    const header = await readHeader(host, file)
    const { label, sha256 } = await backUp(file)
    assert.ok((await headerBackups(host, session, box())).includes(label))
    const manifest = JSON.parse(kept(label, 'header.json').toString()) as HeaderManifest
    assert.equal([manifest.uuid, manifest.sha256], [header.uuid, sha256])
    assert.equal(manifest.slots, [{ slot: 0, custodian: 'alice' }])
    assert.not(kept(label, 'header.gpg').includes('LUKS'), 'in the clear')
    assert.equal(
      readdirSync('/dev/shm').filter((name) => name.startsWith('everyskill-header')),
      [],
    )

    damage(file, 16 << 20)
    await rejects(() => readHeader(host, file), /no LUKS2 header/)
    await restoreHeader(host, host, session, envFile(), { ...env, BACKUP_GPG_HOMEDIR: 'gpg-b' }, file, {
      label,
      typed: label,
    })
    assert.equal(await readHeader(host, file), header)
    assert.is(await slotOpenedBy(host, session, file, [0], passphrase), 0)
  })

  test('that is old revives a key that was revoked since, and says so before', async () => {
    const file = await volume()
    const [bob, fresh] = [{ ...custodian, name: 'bob' }, 'the passphrase of bob, gone']
    await addSlot(host, session, file, {
      slot: 1,
      custodian: bob,
      opener: passphrase,
      passphrase: fresh,
      cost,
    })
    const { label } = await backUp(file)
    await killSlot(host, session, file, { slot: 1, token: 1, keep: 0, opener: passphrase })
    const restore = (typed: string) =>
      restoreHeader(host, host, session, envFile(), env, file, { label, typed })
    const error = await rejects(() => restore('yes'), /also one that was revoked since.* Nothing was changed/)
    assert.is((error as Fail).exitCode, 3)
    assert.is((await readHeader(host, file)).slots.length, 1)
    await restore(label)
    assert.is(await slotOpenedBy(host, session, file, [1], fresh), 1)
  })

  test('of another disk is refused', async () => {
    const [one, other] = [await volume(), await volume()]
    const { label } = await backUp(one)
    const before = readFileSync(other)
    const restore = () => restoreHeader(host, host, session, envFile(), env, other, { label, typed: label })
    const error = await rejects(restore, /is of another disk: its UUID is/)
    assert.is((error as Fail).exitCode, 3)
    assert.ok(before.equals(readFileSync(other)))
  })

  test('that was altered on the box is refused', async () => {
    const file = await volume()
    const { label } = await backUp(file)
    const at = join(dir, 'box/backups/luks-headers', label, 'header.gpg')
    const bytes = readFileSync(at)
    bytes[5000] = (bytes[5000] ?? 0) ^ 1
    writeFileSync(at, bytes)
    const restore = () => restoreHeader(host, host, session, envFile(), env, file, { label, typed: label })
    assert.is(((await rejects(restore, /was altered/)) as Fail).exitCode, 6)
  })

  test('is refused without slots, which is what is left when the last one was killed', async () => {
    const file = await volume()
    execFileSync('cryptsetup', ['luksKillSlot', '--key-file=-', file, '0'], { input: passphrase })
    const there = await headerBackups(host, session, box())
    const error = await rejects(() => backUp(file), /the copy of the header is not good.*with the slots none/)
    assert.is((error as Fail).exitCode, 6)
    assert.equal(await headerBackups(host, session, box()), there)
  })

  test('is refused where there is no header', async () => {
    const file = join(folder(), 'disk')
    writeFileSync(file, Buffer.alloc(1 << 20))
    await rejects(() => backUp(file), /the header could not be copied/)
  })
})

describe('a header backup that is looked at', ({ test }) => {
  const manifest: HeaderManifest = {
    ...{
      format: 1,
      label: '20260101T000000Z',
      createdAt: '',
      uuid: 'u',
      device: '/dev/sda3',
      partition: 'p',
    },
    ...{ sha256: '', encrypted: '', slots: [{ slot: 0, custodian: 'alice' }], tool: null },
  }
  const refusal = (change: object, target = { uuid: 'u', partition: 'p' }) =>
    rejects(() => refuseHeader({ ...manifest, ...change }, target, '/dev/sda3'), /Nothing was changed/)

  test('is good for its own disk, also when the header there is gone', () => {
    for (const uuid of ['u', '']) refuseHeader(manifest, { uuid, partition: 'p' }, '/dev/sda3')
    refuseHeader(manifest, { uuid: 'u', partition: '' }, '/dev/sda3')
  })

  test('is refused for another one, by header or by partition, and without slots', async () => {
    assert.match((await refusal({ slots: [] })).message, 'has no key slot')
    assert.match((await refusal({ uuid: 'v' })).message, 'is of another disk')
    assert.match(
      (await refusal({ partition: 'q' }, { uuid: '', partition: 'p' })).message,
      'another partition',
    )
  })

  test('has the slots of the device, or it is none', async () => {
    const header = (uuid: string, ...slots: number[]) =>
      ({ uuid, slots: slots.map((slot) => ({ slot })) }) as Parameters<typeof refuseOther>[0]
    refuseOther(header('u', 0, 1), header('u', 0, 1))
    await rejects(() => refuseOther(header('u'), header('u')), /slots none/)
    await rejects(() => refuseOther(header('u', 0), header('u', 0, 1)), /not good/)
    await rejects(() => refuseOther(header('v', 0), header('u', 0)), /not good/)
  })
})
