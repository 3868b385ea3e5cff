import { type Kept, prove, removeFromShelf, shelf } from './backups.ts'
import { discardScript, dumpScript, manifestOf, sealScript } from './dump.ts'
import type { Picked } from './env.ts'
import { attempt, exclusive } from './exclusive.ts'
import { Fail } from './fail.ts'
import type { Host } from './host.ts'
import { expired, isLabel, labelAt, type Manifest } from './manifest.ts'
import { paths } from './paths.ts'
import { revision } from './recorded.ts'
import type { Session } from './session.ts'
import { type Box, boxList, boxRemove, boxShip } from './storagebox.ts'

export interface Wish {
  kind: Manifest['kind']
  /** Accept a database without tables. */
  allowEmpty: boolean
}

/**
 * Makes a backup on the server.
 * @returns its manifest; undefined in a dry run
 * @throws Fail `unverified` when the dump cannot be read to its end, or holds no table; nothing is left then
 */
export async function makeBackup(
  server: Host,
  session: Session,
  env: Picked<'BACKUP_GPG_RECIPIENTS'>,
  { kind, allowEmpty }: Wish,
): Promise<Manifest | undefined> {
  const now = new Date()
  const label = labelAt(now)
  const facts = await attempt(server, session, dumpScript(env, label))
  if (session.dryRun) return undefined
  const manifest = manifestOf(facts, { label, kind, createdAt: now.toISOString(), tool: await revision() })
  if (Object.keys(manifest.rows).length === 0 && !allowEmpty) {
    await attempt(server, session, discardScript(label))
    throw new Fail('unverified', 'the database has no tables. If that is as it should be: --allow-empty')
  }
  await attempt(server, session, sealScript(label), { input: `${JSON.stringify(manifest, null, 2)}\n` })
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
export async function shipBackups(server: Host, session: Session, box: Box): Promise<Shipped> {
  const local = (await shelf(server)).filter((one) => one.manifest)
  const said = await attempt(server, session, boxList(box, true))
  // A dry run has not asked the box: what was shipped counts as there
  const shipped = local.filter((one) => one.proven.shipped).map((one) => one.label)
  const there = session.dryRun ? shipped : said.split('\n')
  const waiting = local.filter((one) => !one.proven.shipped || !there.includes(one.label)).reverse()
  const held = new Set(there.filter(isLabel))
  const failed: Shipped['failed'] = []
  for (const { label } of waiting) {
    try {
      await attempt(server, session, exclusive(boxShip(box, paths.dumps, label, there.includes(label))))
      await prove(server, label, 'shipped')
      held.add(label)
    } catch (error) {
      if (!(error instanceof Fail)) throw error
      held.delete(label)
      failed.push({ label, error })
      if (error.outcome === 'noConnection' || error.outcome === 'timedOut') break
    }
  }
  for (const name of staleParts(there, waiting)) {
    const kept = (error: Error) => session.say(`${name} stays on the Storage Box: ${error.message}`)
    await attempt(server, session, exclusive(boxRemove(box, name))).catch(kept)
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
export async function retireBackups(server: Host, days: number, held: readonly string[]): Promise<void> {
  const shipped = (await shelf(server)).filter((one) => one.proven.shipped && held.includes(one.label))
  const labels = shipped.map((one) => one.label)
  await removeFromShelf(server, expired(labels, new Date(), days, 1))
}
