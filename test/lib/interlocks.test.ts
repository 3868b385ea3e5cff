import * as assert from 'uvu/assert'
import { factsIn, lookAtDisk } from '../../ops/lib/disk.ts'
import { holdings } from '../../ops/lib/disk-preflight.ts'
import { Fail } from '../../ops/lib/fail.ts'
import { checkPassphrases, interlocks } from '../../ops/lib/interlocks.ts'
import { stageOf } from '../../ops/lib/layout.ts'
import { clean } from '../bash.ts'
import { describe } from '../describe.ts'
import { Captor } from '../hosts.ts'
import { looked, lsblk, ourParts } from '../provisioning.ts'

const wish = { disk: '/dev/sda', serial: 'S1', size: 40, memory: 524288 }
const part = (over: object = {}) => ({
  name: '/dev/sda1',
  type: 'part',
  size: 1,
  mountpoints: [null],
  ...over,
})

/** Each interlock alone: what the machine says, and what the refusal names. */
const cases: [string, string, RegExp][] = [
  ['UEFI', looked().replace('firmware\tbios', 'firmware\tefi'), /starts by UEFI, .* Take a server type/],
  [
    'another system',
    looked().replace('hostname\trescue', 'hostname\tprod-1'),
    /not the rescue system: its name is prod-1/,
  ],
  ['a root on the disk', `${looked()}\nroot\t/dev/sda`, /the running system lives on \/dev\/sda/],
  ['missing tools', `${looked()}\nmissing\tsgdisk\nmissing\tcryptsetup`, /lacks sgdisk, cryptsetup: apt-get/],
  [
    'no such disk',
    looked().replace(/\ndisk\t.*/, ''),
    /there is no \/dev\/sda; there are: \/dev\/sda 42949672960/,
  ],
  ['a partition', looked(lsblk({ type: 'part' })), /not a whole disk but a part: give the disk/],
  ['another serial', looked(lsblk({ serial: 'S2' })), /the serial of \/dev\/sda is S2, not S1/],
  ['no serial', looked(lsblk({ serial: null })), /the serial of \/dev\/sda is none, not S1/],
  ['another size', looked(lsblk({ size: 80e9 })), /has 80\.0 GB, not about 40/],
  [
    'a mounted partition',
    looked(lsblk({}, [part({ mountpoints: ['/mnt'] })])),
    /\/dev\/sda1 is mounted on \/mnt: umount/,
  ],
  ['swap', looked(lsblk({}, [part({ mountpoints: ['[SWAP]'] })])), /swapped on: swapoff \/dev\/sda1/],
  [
    'a volume group',
    looked(lsblk({}, [part({ children: [{ name: '/dev/mapper/vg-a', type: 'lvm', size: 1 }] })])),
    /\/dev\/mapper\/vg-a \(lvm\) is mapped on \/dev\/sda: close it first/,
  ],
  [
    'a foreign LUKS',
    looked(lsblk(), ['signature\t/dev/sda1 crypto_LUKS theirs']),
    /by somebody else \(LUKS label 'theirs'\)/,
  ],
  ['a LUKS without a label', looked(lsblk(), ['signature\t/dev/sda crypto_LUKS ']), /\(LUKS label none\)/],
  [
    'too little memory',
    looked().replace('4000000', '600000'),
    /586 MiB of memory, too little .* LUKS_MEMORY/,
  ],
]

describe('the interlocks before the first write', ({ test }) => {
  const refusal = (text: string): Fail => {
    try {
      interlocks(factsIn(text), wish)
    } catch (error) {
      if (error instanceof Fail) return error
    }
    return assert.unreachable('was not refused') as never
  }

  for (const [name, text, words] of cases) {
    test(`refuse ${name}, alone`, () => {
      const { exitCode, message } = refusal(text)
      assert.is(exitCode, 3)
      assert.match(message, words)
      assert.is(message.split('\n').length, 2, message)
    })
  }

  test('let a rescue system with that disk pass, also one that an earlier call was cut off in', () => {
    interlocks(factsIn(looked()), wish)
    const open = {
      name: '/dev/mapper/cryptroot',
      type: 'crypt',
      size: 1,
      mountpoints: ['/mnt/everyskill/root'],
    }
    const [bios, boot, luks] = ourParts
    const parts = [
      bios,
      { ...boot, mountpoints: ['/mnt/everyskill/root/boot'] },
      { ...luks, children: [open] },
    ]
    interlocks(
      factsIn(looked(lsblk({}, parts as object[]), ['signature\t/dev/sda3 crypto_LUKS everyskill'])),
      wish,
    )
  })

  test('tell everything at once', () => {
    const { message } = refusal(looked(lsblk({ serial: 'S2', size: 1 })))
    assert.is(message.split('\n').length, 3)
  })

  test('look with bash that ShellCheck has nothing to say about', async () => {
    const host = new Captor(() => looked())
    assert.is((await lookAtDisk(host, '/dev/sda', ['zstd'])).disk?.serial, 'S1')
    clean(...host.scripts)
  })
})

describe('passphrases of custodians', ({ test }) => {
  const people = ['alice', 'bob'].map((name) => ({ name, key: '', fingerprint: '' }))

  test('are two', () => {
    checkPassphrases(people, ['a'.repeat(20), 'b'.repeat(20)])
    assert.throws(
      () => checkPassphrases(people, ['a'.repeat(20), 'a'.repeat(20)]),
      (error: Fail) => error.exitCode === 3 && /alice and bob gave the same passphrase/.test(error.message),
    )
    assert.throws(() => checkPassphrases(people, ['a'.repeat(20), 'short']), /passphrase of bob is shorter/)
  })
})

describe('how far an earlier call came', ({ test }) => {
  const stage = (more: string[] = [], parts: object[] = ourParts) =>
    stageOf(factsIn(looked(lsblk({}, parts), more)))

  test('is read from the disk', () => {
    assert.is(stage([], []), 'blank')
    assert.is(stage(['signature\t/dev/sda1 ext4 root'], [part()]), 'blank')
    assert.is(stage(), 'partitioned')
    assert.is(stage(['signature\t/dev/sda3 crypto_LUKS everyskill']), 'formatted')
  })

  test('is not guessed where our partition holds something else', () => {
    assert.throws(() => stage(['signature\t/dev/sda1 crypto_LUKS everyskill'], [part()]), /--preserve/)
    assert.throws(() => stage(['signature\t/dev/sda3 ext4 data']), /sda3 has our name and holds ext4 data/)
  })

  test('is no start anew where the header of a system is gone', () => {
    const gone = ['signature\t/dev/sda2 ext4 everyskill-boot']
    assert.throws(() => stage(gone), /LUKS header of \/dev\/sda3 is gone.*put the header back/)
    assert.is(stage([...gone, 'signature\t/dev/sda3 crypto_LUKS everyskill']), 'formatted')
  })

  test('is shown with what the disk holds', () => {
    const facts = factsIn(looked(lsblk({}, [part({ partlabel: 'p' })]), ['signature\t/dev/sda gpt ']))
    assert.equal(holdings(facts), ['/dev/sda: gpt', "/dev/sda1: a partition 'p', nothing known on it"])
  })
})
