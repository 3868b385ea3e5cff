import { withChildren } from './block.ts'
import type { Custodian } from './custodian.ts'
import { checkPassphrase } from './custodian.ts'
import type { DiskFacts } from './disk.ts'
import { Fail } from './fail.ts'
import { base, luksLabel } from './layout.ts'

/** What the operator says of the disk that is to be encrypted. */
export interface Wish {
  disk: string
  serial: string
  /** GB (10^9) or GiB (2^30), as Hetzner or lsblk call it: either may be within a tenth. */
  size: number
  /** KiB that opening it takes. */
  memory: number
}

/** The name that the rescue system gives itself; Hetzner's and the lab's. */
export const rescueName = 'rescue'

/**
 * Everything that has to be so before the first write to a disk.
 * @throws Fail `refused` with every interlock that does not hold: what is wrong, and what mends it
 */
export function interlocks(facts: DiskFacts, wish: Wish): void {
  const found = checks.map((check) => check(facts, wish)).filter((problem) => problem !== undefined)
  if (found.length === 0) return
  throw new Fail('refused', `Nothing was written:\n${found.map((text) => `  ${text}`).join('\n')}`)
}

type Check = (facts: DiskFacts, wish: Wish) => string | undefined

const checks: Check[] = [
  ({ hostname }) =>
    hostname === rescueName
      ? undefined
      : `this is not the rescue system: its name is ${hostname}, not ${rescueName}. Start the server in rescue mode first`,
  ({ root }, { disk }) =>
    root.includes(disk)
      ? `the running system lives on ${disk} (${root[0]}): start the server in rescue mode`
      : undefined,
  ({ firmware }) =>
    firmware === 'bios'
      ? undefined
      : 'this machine starts by UEFI, or is no x86_64: the boot loader is made for a BIOS. Take a server type of x86 with a BIOS',
  ({ missing }) =>
    missing.length > 0
      ? `the rescue system lacks ${missing.join(', ')}: apt-get update && apt-get install cryptsetup gdisk e2fsprogs`
      : undefined,
  ({ disk, disks }, wish) =>
    disk ? undefined : `there is no ${wish.disk}; there are: ${disks.join('; ') || 'no disks'}`,
  ({ disk }, wish) =>
    disk && disk.type !== 'disk'
      ? `${wish.disk} is not a whole disk but a ${disk.type}: give the disk, such as /dev/sda`
      : undefined,
  ({ disk }, { serial }) =>
    disk && (disk.serial || 'none') !== serial
      ? `the serial of ${disk.name} is ${disk.serial || 'none'}, not ${serial}: this may be another machine or another disk`
      : undefined,
  ({ disk }, { size }) =>
    disk && !near(disk.size, size)
      ? `${disk.name} has ${(disk.size / 1e9).toFixed(1)} GB, not about ${size}: this may be another machine or another disk`
      : undefined,
  ({ disk }) => {
    const used = (disk ? withChildren(disk) : []).flatMap(({ name, mountpoints }) =>
      mountpoints
        .filter((path) => !path.startsWith(`${base}/`))
        .map((path) =>
          path === '[SWAP]'
            ? `${name} is swapped on: swapoff ${name}`
            : `${name} is mounted on ${path}: umount ${path}`,
        ),
    )
    return used.length > 0 ? used.join('; ') : undefined
  },
  ({ disk }) => {
    const foreign = (disk ? withChildren(disk) : []).filter(
      ({ name, type }) => type !== 'disk' && type !== 'part' && name !== '/dev/mapper/cryptroot',
    )
    const [one] = foreign
    return (
      one &&
      `${one.name} (${one.type}) is mapped on ${disk?.name}: close it first (cryptsetup close, vgchange -an, mdadm --stop)`
    )
  },
  ({ signatures }) => {
    const foreign = signatures.find(({ type, label }) => type === 'crypto_LUKS' && label !== luksLabel)
    return (
      foreign &&
      `${foreign.device} is encrypted by somebody else (LUKS label ${foreign.label ? `'${foreign.label}'` : 'none'}): if nobody needs it, run there: cryptsetup erase ${foreign.device}; wipefs -a ${foreign.device}`
    )
  },
  ({ memory }, wish) =>
    memory < wish.memory * 1.5
      ? `the machine has ${Math.round(memory / 1024)} MiB of memory, too little to open a disk that takes ${Math.round(wish.memory / 1024)}: set LUKS_MEMORY lower`
      : undefined,
]

function near(bytes: number, size: number): boolean {
  return [1e9, 2 ** 30].some((unit) => Math.abs(bytes - size * unit) <= bytes * 0.1)
}

/**
 * @throws Fail `usage` for a passphrase that breaks a rule, `refused` when two custodians have the same: nobody could then be
 *   told apart, or lose theirs alone
 */
export function checkPassphrases(custodians: readonly Custodian[], passphrases: readonly string[]): void {
  for (const [i, { name }] of custodians.entries()) {
    const mine = passphrases[i] ?? ''
    checkPassphrase(name, mine)
    const other = custodians.find((_, j) => j < i && passphrases[j] === mine)
    if (other)
      throw new Fail(
        'refused',
        `${other.name} and ${name} gave the same passphrase: each custodian needs one of their own`,
      )
  }
}
