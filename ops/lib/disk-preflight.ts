import { withChildren } from './block.ts'
import { type DiskFacts, lookAtDisk } from './disk.ts'
import type { Host } from './host.ts'
import { interlocks, type Wish } from './interlocks.ts'
import { unpacker } from './new-root.ts'
import type { Session } from './session.ts'

/** What a disk holds, one line each, for the person who is about to lose it. */
export function holdings({ disk, signatures }: DiskFacts): string[] {
  const parts = (disk ? withChildren(disk) : []).filter(({ type }) => type === 'part')
  const lines = signatures.map(({ device, type, label }) => `${device}: ${type}${label ? ` '${label}'` : ''}`)
  const bare = parts.filter(({ name }) => !signatures.some(({ device }) => device === name))
  return [
    ...lines,
    ...bare.map(({ name, partlabel }) => `${name}: a partition '${partlabel}', nothing known on it`),
  ]
}

/**
 * Looks at the disk and holds the interlocks. A dry run that is not in the rescue system cannot look: it takes the disk for blank.
 * @throws Fail `refused` as `interlocks` does
 */
export async function preflight(
  host: Host,
  session: Session,
  wish: Wish & { archive: string },
  inRescue: boolean,
): Promise<DiskFacts> {
  if (session.dryRun && !inRescue)
    return {
      ...{ hostname: '', root: [], memory: 0, screen: true, firmware: '', missing: [], disk: undefined },
      signatures: [],
      disks: [],
    }
  const facts = await lookAtDisk(host, wish.disk, unpacker(wish.archive))
  interlocks(facts, wish)
  return facts
}
