import * as v from 'valibot'
import { Fail } from './fail.ts'

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

/** The disk in lsblk's JSON. @throws Fail `failed` when it cannot be understood */
export function blockIn(json: string): Block {
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
