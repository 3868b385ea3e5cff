import * as assert from 'uvu/assert'
import { factsIn } from '../../ops/lib/disk.ts'
import { keptLayout } from '../../ops/lib/preserve-layout.ts'
import {
  beginScript,
  copyBootScript,
  cutScript,
  goOnScript,
  shrinkScript,
} from '../../ops/lib/preserve-steps.ts'
import { clean } from '../bash.ts'
import { describe } from '../describe.ts'
import { looked, lsblk } from '../provisioning.ts'

const part = (number: number, partlabel = '', parttype = 'x') => ({
  ...{ name: `/dev/sda${number}`, type: 'part', size: 1, serial: null, partlabel, parttype },
  mountpoints: [null],
})
const bios = part(14, '', '21686148-6449-6E6F-744E-656564454649')
const hetzner = [part(1), bios, part(15)]
const root = 'signature\t/dev/sda1 ext4 root'
const boot = 'signature\t/dev/sda2 ext4 everyskill-boot'
const cut = [...hetzner, part(2, 'everyskill-boot')]
const layout = (parts: object[], ...signatures: string[]) =>
  keptLayout(factsIn(looked(lsblk({}, parts), ['signature\t/dev/sda15 vfat ', ...signatures])))

describe('a system that is to stay', ({ test }) => {
  test('is found on the disk of an image, as far as an earlier call came', () => {
    assert.equal(layout(hetzner, root), {
      ...{ disk: '/dev/sda', boot: '/dev/sda2', luks: '/dev/sda1', stage: 'plain', bootMiB: 1024 },
      numbers: { boot: 2, luks: 1 },
    })
    assert.is(layout(cut, root).stage, 'cut')
    assert.is(layout(cut, root, 'signature\t/dev/sda2 ext4 ').stage, 'cut')
    assert.is(layout(cut, root, boot).stage, 'copied')
    assert.is(layout(cut, 'signature\t/dev/sda1 crypto_LUKS everyskill', boot).stage, 'encrypting')
  })

  for (const [name, make, words] of [
    ['without a BIOS boot partition', () => layout([part(1)], root), /no BIOS boot partition/],
    [
      'with two file systems',
      () => layout([...hetzner, part(16)], root, 'signature\t/dev/sda16 ext4 x'),
      /has 2 ext4 file systems/,
    ],
    ['without one', () => layout(hetzner), /has 0 ext4 file systems/],
    ['of a wipe', () => layout([...hetzner, part(3, 'everyskill-luks')], root), /partitioned by a wipe/],
    [
      'that is encrypted otherwise',
      () => layout(hetzner, 'signature\t/dev/sda1 crypto_LUKS everyskill'),
      /not encrypted by --preserve/,
    ],
    ['that cannot be seen', () => keptLayout(factsIn('')), /in the rescue system/],
  ] as const) {
    test(`is refused on a disk ${name}`, () => {
      assert.throws(make, words)
    })
  }

  test('is encrypted by bash that ShellCheck has nothing to say about', () => {
    const at = layout(hetzner, root)
    const cost = { memory: 65536, iterations: 4, parallel: 2 }
    const scripts = [
      shrinkScript(at),
      cutScript(at),
      copyBootScript(at),
      beginScript(at, cost),
      goOnScript(at.luks),
    ]
    clean(...scripts.map((script) => script.text))
  })
})
