import * as v from 'valibot'
import { Fail } from './fail.ts'
import type { Host } from './host.ts'
import { sh } from './sh.ts'

/** What lsblk knows of a disk, a partition or what is mapped on one. */
export interface Block {
  /** Path: /dev/sda1 */
  name: string
  type: string
  /** Bytes. */
  size: number
  serial: string
  partlabel: string
  parttype: string
  mountpoints: string[]
  children: Block[]
}

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
  ...['blkid', 'blockdev', 'chroot', 'cryptsetup', 'e2fsck', 'flock', 'findmnt', 'lsblk', 'mkfs.ext4'],
  ...['resize2fs', 'sgdisk', 'ssh-keygen', 'tar', 'udevadm', 'wipefs'],
]

interface Raw {
  name: string
  type: string
  size: number
  serial?: string | null | undefined
  partlabel?: string | null | undefined
  parttype?: string | null | undefined
  mountpoints?: (string | null)[] | undefined
  children?: Raw[] | undefined
}
const word = v.nullish(v.string())
const raw: v.GenericSchema<unknown, Raw> = v.looseObject({
  ...{ name: v.string(), type: v.string(), serial: word, partlabel: word, parttype: word },
  size: v.pipe(v.union([v.number(), v.string()]), v.transform(Number)),
  mountpoints: v.optional(v.array(v.nullable(v.string()))),
  children: v.optional(v.array(v.lazy(() => raw))),
})
const answer = v.object({ blockdevices: v.array(raw) })

/** Prints what `factsIn` reads; changes nothing. */
export function lookScript(disk: string, more: readonly string[] = []) {
  return sh`say() { printf '%s\t%s\n' "$1" "$2"; }
say hostname "$(hostname)"
root=$(findmnt -nro SOURCE / | head -n 1)
say root "$root"
lsblk -snrpo NAME "$root" 2> /dev/null | while read -r name; do say root "$name"; done || true
say memory "$(awk '/^MemTotal:/ { print $2 }' /proc/meminfo)"
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

function blockIn(json: string): Block {
  try {
    const [found] = v.parse(answer, JSON.parse(json)).blockdevices
    if (found) return block(found)
  } catch {}
  throw new Fail('failed', `lsblk says what cannot be understood: ${json.slice(0, 200)}`)
}

function block({ name, type, size, serial, partlabel, parttype, mountpoints, children }: Raw): Block {
  const text = { name, type, serial: serial?.trim() ?? '', partlabel: partlabel ?? '' }
  const mounted = (mountpoints ?? []).filter((path) => path !== null)
  return {
    ...text,
    size,
    parttype: parttype ?? '',
    mountpoints: mounted,
    children: (children ?? []).map(block),
  }
}

/** A block device and everything on it. */
export function withChildren(one: Block): Block[] {
  return [one, ...one.children.flatMap(withChildren)]
}
