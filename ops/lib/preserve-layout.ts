import { type Block, withChildren } from './block.ts'
import type { DiskFacts } from './disk.ts'
import { Fail } from './fail.ts'
import { bootSize, type Layout, luksLabel, partition, partitionNames } from './layout.ts'

/** Where an earlier call stopped: nothing done, partitions cut, /boot copied, the encryption begun or done. */
export type Kept = 'plain' | 'cut' | 'copied' | 'encrypting'

/** The system that is there, and what becomes of its disk. `luks` is the partition that is encrypted where it lies. */
export interface KeptLayout extends Layout {
  stage: Kept
  /** MiB */
  bootMiB: number
  /** Numbers of the partitions in the table. */
  numbers: { boot: number; luks: number }
}

const biosBoot = '21686148-6449-6e6f-744e-656564454649'

/**
 * What `--preserve` finds: one ext4 file system with everything in it, /boot too, as Hetzner's images have it.
 * @throws Fail `refused` for a disk of another kind
 */
export function keptLayout({ disk, signatures }: DiskFacts): KeptLayout {
  if (!disk)
    throw new Fail('refused', 'the disk is looked at in the rescue system: start it, then a dry run can tell')
  const parts = withChildren(disk).filter(({ type }) => type === 'part')
  const path = disk.name
  const no = (why: string) =>
    new Fail(
      'refused',
      `${path} ${why}. --preserve takes a disk with one ext4 root and no /boot of its own; everything else: a wipe, and a restore`,
    )
  const [, bootName, luksName] = partitionNames
  if (parts.some(({ partlabel }) => partlabel === luksName)) throw no('was partitioned by a wipe')
  if (!parts.some(({ parttype }) => parttype.toLowerCase() === biosBoot))
    throw no('has no BIOS boot partition in a GPT, so GRUB could not be installed')
  const kindOf = (part: Block) => signatures.find(({ device }) => device === part.name)
  const boot = parts.find(({ partlabel }) => partlabel === bootName)
  const locked = parts.find((part) => kindOf(part)?.type === 'crypto_LUKS')
  const plain = parts.filter((part) => part !== boot && kindOf(part)?.type === 'ext4')
  const root = locked ?? plain[0]
  if (!root || (!locked && plain.length !== 1)) throw no(`has ${plain.length} ext4 file systems`)
  if (locked && (!boot || kindOf(locked)?.label !== luksLabel)) throw no('was not encrypted by --preserve')
  const taken = parts.map(({ name }) => numberOf(path, name))
  const free = [...Array(128).keys()].map((i) => i + 1).find((number) => !taken.includes(number)) ?? 128
  const number = boot ? numberOf(path, boot.name) : free
  const copied = boot && kindOf(boot)?.label === bootName
  return {
    ...{ disk: path, boot: partition(path, number), luks: root.name },
    stage: locked ? 'encrypting' : copied ? 'copied' : boot ? 'cut' : 'plain',
    bootMiB: bootSize(disk.size),
    numbers: { boot: number, luks: numberOf(path, root.name) },
  }
}

function numberOf(disk: string, part: string): number {
  return Number(part.slice(disk.length).replace(/^p/, ''))
}
