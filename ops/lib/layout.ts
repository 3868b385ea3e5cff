import { withChildren } from './block.ts'
import type { DiskFacts } from './disk.ts'
import { attempt, exclusive } from './exclusive.ts'
import { Fail } from './fail.ts'
import type { Host } from './host.ts'
import type { Session } from './session.ts'
import { lines, type Script, sh } from './sh.ts'

/** The label of our LUKS2 header: what has another one is somebody else's. */
export const luksLabel = 'everyskill'
/** The partitions that we make, by their names in the partition table. */
export const partitionNames = ['everyskill-bios', 'everyskill-boot', 'everyskill-luks'] as const

/** The label of our /boot, whose file system is made after the LUKS header. */
export const bootLabel = 'everyskill-boot'

/** Where things are on the disk. */
export interface Layout {
  disk: string
  boot: string
  luks: string
}

/** How far a disk is: with our partitions or not, the third with our LUKS header or not. */
export type Stage = 'blank' | 'partitioned' | 'formatted'

/** The path of a partition: /dev/sda3, /dev/nvme0n1p3. */
export function partition(disk: string, number: number): string {
  return `${disk}${/\d$/.test(disk) ? 'p' : ''}${number}`
}

export function layoutOf(disk: string): Layout {
  return { disk, boot: partition(disk, 2), luks: partition(disk, 3) }
}

/**
 * How far an earlier call came with this disk.
 * @throws Fail `refused` when our partitions hold what we did not make, or the header that was there is gone
 */
export function stageOf({ disk, signatures }: DiskFacts): Stage {
  const parts = disk ? withChildren(disk).filter(({ type }) => type === 'part') : []
  const names = parts.map(({ partlabel }) => partlabel).sort()
  const ours = signatures.find(({ type, label }) => type === 'crypto_LUKS' && label === luksLabel)
  if (names.join() !== [...partitionNames].sort().join()) {
    if (!ours) return 'blank'
    throw new Fail(
      'refused',
      `${ours.device} is an encrypted disk of ours, in other partitions than a wipe makes: if it was made with --preserve, go on with that; --start-over wipes it`,
    )
  }
  const { luks } = layoutOf(disk?.name ?? '')
  const found = signatures.find(({ device }) => device === luks)
  const boot = signatures.find(({ device }) => device === layoutOf(disk?.name ?? '').boot)
  if (!found && boot?.label === bootLabel)
    throw new Fail(
      'refused',
      `the LUKS header of ${luks} is gone, and its /boot is there: put the header back, runbooks/custodians.md, step 7. --start-over wipes the disk`,
    )
  if (!found) return 'partitioned'
  if (found.type === 'crypto_LUKS' && found.label === luksLabel) return 'formatted'
  throw new Fail(
    'refused',
    `${luks} has our name and holds ${found.type} ${found.label}, which we did not make. Look at it; --start-over wipes it`,
  )
}

/** Everything goes, then three partitions: GRUB's own, /boot, and the one that is encrypted. Sizes are multiples of 4096. */
export function partitionScript({ disk }: Layout, bootMiB: number): Script {
  const [bios, boot, luks] = partitionNames
  const made = [`-n1:1M:+1M`, '-t1:ef02', `-c1:${bios}`, `-n2:0:+${bootMiB}M`, '-t2:8300', `-c2:${boot}`]
  return lines(
    release,
    sh`disk=${disk}
mapfile -t parts < <(lsblk -nrpo NAME,TYPE "$disk" | awk '$2 == "part" { print $1 }')
wipefs --all --quiet --force "\${parts[@]}" "$disk"
blkdiscard --force "$disk" 2> /dev/null || echo kept
sgdisk --zap-all "$disk" > /dev/null
sgdisk -I ${[...made, '-n3:0:0', '-t3:8309', `-c3:${luks}`]} "$disk" > /dev/null
blockdev --rereadpt "$disk" || partx --update "$disk"
udevadm settle
wipefs --all --quiet --force ${[1, 2, 3].map((number) => partition(disk, number))}
udevadm settle
sync "$disk"`,
  )
}

/** Where the new root is mounted: below a private tmpfs, so that no other mount namespace of the rescue system keeps a copy. */
export const base = '/mnt/everyskill'
export const newRoot = `${base}/root`

/** Gives back what an earlier call mounted and opened; nothing of anybody else's. */
export const release: Script = sh`if mountpoint -q ${base}; then umount -R ${base}; fi
if [ -e /dev/mapper/cryptroot ]; then udevadm settle; cryptsetup close cryptroot; fi`

/** Bytes of /boot: 1 GiB, half of it on the small disks of tests. */
export function bootSize(bytes: number): number {
  return bytes >= 16 * 1024 ** 3 ? 1024 : 512
}

export async function makePartitions(
  host: Host,
  session: Session,
  layout: Layout,
  bytes: number,
): Promise<void> {
  const script = partitionScript(layout, bootSize(bytes))
  const said = await attempt(host, session, exclusive(script, 'provision'), { timeout: 600 })
  if (said.includes('kept'))
    session.say(
      `  ${layout.disk} does not take a discard: what was on it lies there in the clear until it is written over`,
    )
}
