import { type Block, blockIn } from './block.ts'
import type { Host } from './host.ts'
import { sh } from './sh.ts'

/** Something that blkid knows on a disk or a partition: a file system, a partition table, a LUKS header. */
export interface Signature {
  device: string
  type: string
  label: string
}

/** What a look at a machine tells before anything is written to its disk. */
export interface DiskFacts {
  hostname: string
  /** Source of the root file system, and the devices under it. */
  root: string[]
  /** KiB */
  memory: number
  /** How it starts: `bios`, or `efi`, which GRUB is not installed for here. */
  firmware: string
  /** Whether the machine has a screen, which Hetzner's console shows; else there is only a serial line. */
  screen: boolean
  /** Programs that the phases call and that are not there. */
  missing: string[]
  /** Undefined: there is no such device. */
  disk: Block | undefined
  signatures: Signature[]
  /** Serials and sizes of the whole disks that are there. */
  disks: string[]
}

/** Programs of the rescue system that the phases call. */
export const tools = [
  ...[
    'blkdiscard',
    'blkid',
    'blockdev',
    'chroot',
    'cryptsetup',
    'e2fsck',
    'flock',
    'findmnt',
    'lsblk',
    'mkfs.ext4',
  ],
  ...['resize2fs', 'sgdisk', 'tar', 'udevadm', 'wipefs'],
]

/** Prints what `factsIn` reads; changes nothing. */
export function lookScript(disk: string, more: readonly string[] = []) {
  return sh`say() { printf '%s\t%s\n' "$1" "$2"; }
say hostname "$(hostname)"
root=$(findmnt -nro SOURCE / | head -n 1)
say root "$root"
lsblk -snrpo NAME "$root" 2> /dev/null | while read -r name; do say root "$name"; done || true
say memory "$(awk '/^MemTotal:/ { print $2 }' /proc/meminfo)"
say firmware "$(if [ -d /sys/firmware/efi ] || [ "$(uname -m)" != x86_64 ]; then echo efi; else echo bios; fi)"
if grep -qs '^0x03' /sys/bus/pci/devices/*/class; then say screen yes; fi
for tool in ${[...tools, ...more]}; do command -v "$tool" > /dev/null || say missing "$tool"; done
lsblk -dnrpo NAME,SIZE,SERIAL,TYPE 2> /dev/null | while read -r line; do say any "$line"; done || true
disk=${disk}
[ -b "$disk" ] || exit 0
say disk "$(lsblk -Jbpo NAME,TYPE,SIZE,SERIAL,PARTLABEL,PARTTYPE,MOUNTPOINTS "$disk" | tr -d '\n')"
mapfile -t parts < <(lsblk -nrpo NAME,TYPE "$disk" | awk '$2 == "part" { print $1 }')
for device in "$disk" "\${parts[@]}"; do
  wipefs --no-act --noheadings --output TYPE,LABEL "$device" 2> /dev/null | while read -r type label; do say signature "$device $type $label"; done || true
done`
}

/** Looks at a machine and one disk of it. @throws Fail `failed` when lsblk says what cannot be understood */
export async function lookAtDisk(host: Host, disk: string, more: readonly string[] = []): Promise<DiskFacts> {
  return factsIn(await host.read(lookScript(disk, more)))
}

export function factsIn(text: string): DiskFacts {
  const all = (key: string) =>
    text
      .split('\n')
      .filter((line) => line.startsWith(`${key}\t`))
      .map((line) => line.slice(key.length + 1).trim())
  const [json] = all('disk')
  return {
    hostname: all('hostname')[0] ?? '',
    root: all('root'),
    memory: Number(all('memory')[0] ?? 0),
    firmware: all('firmware')[0] ?? '',
    screen: all('screen').length > 0,
    missing: all('missing'),
    disk: json === undefined ? undefined : blockIn(json),
    signatures: all('signature').map((line) => {
      const [device = '', type = '', ...label] = line.split(' ')
      return { device, type, label: label.join(' ') }
    }),
    disks: all('any').filter((line) => line.endsWith(' disk')),
  }
}
