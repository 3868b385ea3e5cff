import { type Check, checkContent } from './checks.ts'
import { holdings, own } from './copies.ts'
import { liveCluster } from './database.ts'
import { undoing } from './fail.ts'
import { fetchCatalogue, fetchTarget } from './fetching.ts'
import type { Host } from './host.ts'
import { archiveRest, changeClusters, restoreBeside } from './inplace.ts'
import { labelAt } from './manifest.ts'
import { makePhysical } from './physical.ts'
import { healthy } from './restoring.ts'
import type { Session } from './session.ts'
import type { Box } from './storagebox.ts'
import { type Target, targetText } from './target.ts'

/** Writes what is not archived yet into the archive; that it cannot be is told, for the live cluster is kept anyhow. */
export async function saveRest(server: Host, session: Session, kept: string): Promise<void> {
  const told = (error: Error) =>
    session.say(`  what is not archived yet will be in ${kept} only: ${error.message}`)
  await session.step('archive what is not archived yet', () => archiveRest(server, session).catch(told))
}

/**
 * Puts a target in the live cluster's place. It is restored beside it while that still serves; then the database stands
 * still until the archive is replayed. When it does not come up, or the app does not answer on it, what was live comes back.
 * @returns what it was found to be
 */
export async function replaceLive(
  server: Host,
  session: Session,
  target: Target,
  kept: string,
): Promise<Check[]> {
  const beside = () => restoreBeside(server, session, target)
  await session.step(`restore ${targetText(target)} beside the live one`, beside)
  // --- point of no return: from here on the database stands still until it is done, or undone ---
  const change = () => changeClusters(server, session, 'restoring', kept)
  const back = () => changeClusters(server, session, kept, `failed-${labelAt(new Date())}`)
  await session
    .step(`put it in place, keep ${kept}, replay the archive`, change)
    .then(() => session.step('ask the app', () => healthy(server)))
    .catch((error) => undoing(error, back))
  return session.dryRun ? [] : checkContent(liveCluster(server), target, new Date())
}

/**
 * Replaces what is missing or damaged in the server's repository by what the Storage Box holds, for a target. Its catalogue
 * is only taken from there when the server's own does not know the target: it may be newer.
 */
export async function mendRepository(
  server: Host,
  session: Session,
  box: Box,
  target: Target,
): Promise<void> {
  const mine = await holdings(server, session, own).catch(() => undefined)
  const known = mine?.backups.some((one) => one.label === target.set.label)
  if (!known) await fetchCatalogue(server, session, box, own)
  await fetchTarget(server, session, box, own, target)
}

/** Puts a kept cluster in the live one's place. When the app does not answer on it, what was live comes back. */
export async function putBack(server: Host, session: Session, kept: string, undone: string): Promise<void> {
  const change = () => changeClusters(server, session, kept, undone)
  const back = () => changeClusters(server, session, undone, kept)
  await session
    .step(`put ${kept} back, keep ${undone}`, change)
    .then(() => session.step('ask the app', () => healthy(server)))
    .catch((error) => undoing(error, back))
}

/** Makes a backup of what is live now, so that the moments from here on are found on its timeline. */
export async function freshBackup(server: Host, session: Session, days: number): Promise<void> {
  const told = (error: Error) =>
    session.say(`  make one soon, or the moments from now on are hard to find: ${error.message}`)
  const backup = () => makePhysical(server, session, 'incr', days)
  await session.step('back up what is live now', backup).catch(told)
}
