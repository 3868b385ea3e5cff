import { type Kept, kept, prove, removeFromShelf } from './backups.ts'
import { boxShip, filesOf } from './box-files.ts'
import { dumpFiles } from './dump.ts'
import type { Picked } from './env.ts'
import { attempt, exclusive } from './exclusive.ts'
import { Fail, undoing } from './fail.ts'
import type { Host } from './host.ts'
import { expired, isLabel, labelAt, type Manifest, type Shelf } from './manifest.ts'
import { paths } from './paths.ts'
import { revision } from './recorded.ts'
import { discardScript, manifestOf, partScript, sealScript } from './sealing.ts'
import type { Session } from './session.ts'
import { stateFiles } from './state-files.ts'
import { type Box, boxFolder, boxList, boxRemove } from './storagebox.ts'

type Keys = Picked<'BACKUP_GPG_RECIPIENTS'>

/**
 * Makes a dump of the database on the server.
 * @param allowEmpty accept a database without tables
 * @returns its manifest; undefined in a dry run
 * @throws Fail `unverified` when the dump cannot be read to its end, or holds no table; nothing is left then
 */
export function makeDump(
  server: Host,
  session: Session,
  env: Keys,
  allowEmpty: boolean,
): Promise<Manifest | undefined> {
  return makePortable(server, session, env, 'dumps', (manifest) => {
    if (Object.keys(manifest.rows).length > 0 || allowEmpty) return
    throw new Fail('unverified', 'the database has no tables. If that is as it should be: --allow-empty')
  })
}

/** Makes a backup of what is in no database: configuration, secrets, release records, Caddy's certificates. */
export function makeFiles(server: Host, session: Session, env: Keys): Promise<Manifest | undefined> {
  return makePortable(server, session, env, 'files')
}

async function makePortable(
  server: Host,
  session: Session,
  env: Keys,
  where: Shelf,
  judge: (manifest: Manifest) => void = () => {},
): Promise<Manifest | undefined> {
  const now = new Date()
  const label = labelAt(now)
  const fill = where === 'dumps' ? dumpFiles : stateFiles
  const facts = await attempt(server, session, partScript(env, where, label, fill))
  if (session.dryRun) return undefined
  const known = { label, shelf: where, createdAt: now.toISOString(), tool: await revision() }
  const manifest = manifestOf(facts, known)
  try {
    judge(manifest)
  } catch (error) {
    return undoing(error, () => attempt(server, session, discardScript(where, label)))
  }
  const input = `${JSON.stringify(manifest, null, 2)}\n`
  await attempt(server, session, sealScript(where, label), { input })
  return manifest
}

/** What a round of copying came to. */
export interface Shipped {
  /** Labels of the finished backups that the box holds now. */
  held: string[]
  /** Why a backup could not be copied, in the order of the attempts. */
  failed: { label: string; error: Fail }[]
}

/**
 * Copies to the box what it does not hold, the newest first: also what an earlier run could not, and what a box that was
 * emptied or replaced held once. One that fails does not stop the others; a box that is gone does.
 * Clears away what killed runs left there.
 */
export async function shipBackups(
  server: Host,
  session: Session,
  whole: Box,
  where: Shelf,
): Promise<Shipped> {
  const box = boxFolder(whole, where)
  const local = (await kept(server, where)).filter((one) => one.manifest)
  const said = await attempt(server, session, boxList(box, true))
  // A dry run has not asked the box: what was shipped counts as there
  const shipped = local.filter((one) => one.proven.shipped).map((one) => one.label)
  const there = session.dryRun ? shipped : said.split('\n')
  const waiting = local.filter((one) => !one.proven.shipped || !there.includes(one.label)).reverse()
  const held = new Set(there.filter(isLabel))
  const failed: Shipped['failed'] = []
  for (const { label, manifest } of waiting) {
    try {
      const files = filesOf(manifest as Manifest)
      const ship = boxShip(box, paths[where], label, files, there.includes(label))
      await attempt(server, session, exclusive(ship))
      await prove(server, where, label, 'shipped')
      held.add(label)
    } catch (error) {
      if (!(error instanceof Fail)) throw error
      held.delete(label)
      failed.push({ label, error })
      if (error.outcome === 'noConnection' || error.outcome === 'timedOut') break
    }
  }
  for (const name of staleParts(there, waiting)) {
    const told = (error: Error) => session.say(`${name} stays on the Storage Box: ${error.message}`)
    await attempt(server, session, exclusive(boxRemove(box, name))).catch(told)
  }
  return { held: [...held], failed }
}

/** @throws Fail naming every backup that could not be copied, with the outcome of the first */
export function refuseFailed(failed: Shipped['failed']): void {
  const [first] = failed
  if (!first) return
  const why = failed.map(({ label, error }) => `${label}: ${error.message}`).join('\n  ')
  throw new Fail(first.error.outcome, `not copied to the Storage Box:\n  ${why}`)
}

function staleParts(there: readonly string[], waiting: readonly Kept[]): string[] {
  const parts = there.filter((name) => name.endsWith('.part') && isLabel(name.slice(0, -'.part'.length)))
  return parts.filter((name) => !waiting.some((one) => `${one.label}.part` === name))
}

/**
 * Removes copies on the server whose time is over: never the newest, never one that the box does not hold.
 * @param held what the box listed in this run
 */
export async function retireBackups(
  server: Host,
  where: Shelf,
  days: number,
  held: readonly string[],
): Promise<void> {
  const shipped = (await kept(server, where)).filter((one) => one.proven.shipped && held.includes(one.label))
  const labels = shipped.map((one) => one.label)
  await removeFromShelf(server, where, expired(labels, new Date(), days, 1))
}
