import { posix } from 'node:path'
import { boxHoldings } from './box-holdings.ts'
import { attempt } from './exclusive.ts'
import { Fail } from './fail.ts'
import type { Host } from './host.ts'
import { expired, isLabel } from './manifest.ts'
import { isPhysical, type Repository, stanza } from './pgbackrest.ts'
import { repository } from './physical.ts'
import type { Session } from './session.ts'
import { type Box, boxFolder, boxList, boxRemove } from './storagebox.ts'
import { folderOf } from './wal.ts'

/** So many of the newest portable backups stay on the Storage Box whatever their age. */
const alwaysKept = 7

/** The start of a physical backup, as its name tells it; UTC. */
function startOf(label: string): Date {
  const [, y, mo, d, h, mi, s] = /(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)[FDI]$/.exec(label) ?? []
  return new Date(`${y}-${mo}-${d}T${h}:${mi}:${s}Z`)
}

/**
 * The backups on the box that the server's catalogue has let go of and whose time is over by their own names: a server
 * that was taken over cannot have a young one removed by forgetting it, nor what a young one needs: a full backup and its
 * incremental ones go together.
 */
export function prunable(
  there: readonly string[],
  { backups }: Repository,
  now: Date,
  days: number,
): string[] {
  const kept = new Set(backups.map((one) => one.label))
  const old = (label: string) => now.getTime() - startOf(label).getTime() > days * 86_400_000
  const familyOf = (label: string) => label.slice(0, '20261123-021700F'.length)
  const all = there.filter(isPhysical)
  const young = new Set(all.filter((label) => kept.has(label) || !old(label)).map(familyOf))
  return all.filter((label) => !young.has(familyOf(label))).sort()
}

/** The folders of WAL that lie wholly before everything that the catalogue needs. */
export function prunableWal(folders: readonly string[], { backups }: Repository): string[] {
  const first = backups.map((one) => folderOf(one.wal.start).slice(8)).sort()[0]
  if (!first) return []
  return folders.filter((name) => /^[0-9A-F]{16}$/.test(name) && name.slice(8) < first).sort()
}

/**
 * @param share percent of all that may go in one run
 * @throws Fail `refused` when more would go: then the catalogue is wrong, or the retention was shortened by mistake
 */
export function refuseTooMany(going: number, all: number, share: number): void {
  if (going * 100 <= all * share) return
  throw new Fail(
    'refused',
    `${going} of the ${all} backups on the Storage Box would go, more than ${share} %. If that is right: --share 100`,
  )
}

/** What one run of prune would delete: folders of the box, and names in them. */
export type Going = { dir: string; name: string }[]

/**
 * Finds what may go from the box: both guards, the names' own dates and the share, have agreed.
 * @throws Fail `refused` when more than the share would go, or the folder is not there
 */
export async function goingFromBox(
  here: Host,
  server: Host,
  session: Session,
  box: Box,
  { days, share }: { days: number; share: number },
): Promise<Going> {
  if ((await attempt(here, session, boxList(box), { changes: false })) === '')
    throw new Fail(
      'refused',
      `${box.dir} is not a folder of backups on the Storage Box, as ${box.account} sees it: --dir names it, such as everyskill/backups`,
    )
  const portable = await Promise.all(
    (['dumps', 'files'] as const).map((shelf) => old(here, session, boxFolder(box, shelf), days, share)),
  )
  const held = await repository(server, session)
  const there = await boxHoldings(here, session, box)
  const now = new Date()
  const sets = prunable(there.sets, held, now, days)
  refuseTooMany(sets.length, there.sets.length, share)
  const aged = there.folders.filter((one) => now.getTime() - one.changed.getTime() > days * 86_400_000)
  const wal = prunableWal(
    aged.map((one) => one.name),
    held,
  )
  return [
    ...there.halves.map((path) => ({ dir: posix.dirname(path), name: posix.basename(path) })),
    ...portable.flat(),
    ...sets.map((name) => ({ dir: `${box.dir}/repository/backup/${stanza}`, name })),
    ...wal.map((name) => ({ dir: there.archive, name })),
  ]
}

/** The portable backups of a shelf whose time is over; the newest ones stay whatever their age. */
async function old(here: Host, session: Session, shelf: Box, days: number, share: number): Promise<Going> {
  const names = (await attempt(here, session, boxList(shelf), { changes: false })).split('\n').filter(isLabel)
  const over = expired(names, new Date(), days, alwaysKept)
  refuseTooMany(over.length, names.length, share)
  return over.map((name) => ({ dir: shelf.dir, name }))
}

/** What would go, for a person. */
export const goingText = (going: Going) => going.map(({ dir, name }) => `${dir}/${name}`).join('\n')

/** Deletes from the box, each folder first by its name, so that half of one never counts. */
export async function removeFromBox(here: Host, session: Session, box: Box, going: Going): Promise<void> {
  for (const { dir, name } of going)
    await session.step(`delete ${name}`, () => attempt(here, session, boxRemove({ ...box, dir }, name)))
}
