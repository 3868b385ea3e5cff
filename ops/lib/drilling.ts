import { differingOnBox } from './box-content.ts'
import { type Check, checkAge, checkContent, checkCopy, checkPages, checkStructure } from './checks.ts'
import { type Copy, clearFetched, fetched, holdings, own, records } from './copies.ts'
import type { DrillRecord } from './evidence.ts'
import { evidenced } from './evidenced.ts'
import { fetchCatalogue, fetchTarget } from './fetching.ts'
import type { Host } from './host.ts'
import { knownLag } from './measuring.ts'
import { pageChecksums, scratchDatabase, startRecovery } from './recovery.ts'
import { inScratch } from './scratch.ts'
import type { Session } from './session.ts'
import type { Signing } from './signing.ts'
import type { Box } from './storagebox.ts'
import { type Target, targetOf, targetText, type Wish } from './target.ts'

/** What a restore is made from, and what it is to bring back. */
export interface Choice {
  copy: Copy
  target: Target
}

/**
 * Finds what to restore. From the Storage Box it fetches the catalogue, then only what the target needs.
 * @param box undefined: the server's own copy
 */
export async function choose(
  server: Host,
  session: Session,
  box: Box | undefined,
  wish: Wish,
): Promise<Choice> {
  const copy = box ? fetched : own
  if (box && session.dryRun)
    session.say('  a dry run fetches nothing, and chooses from what the server knows')
  else if (box) {
    await clearFetched(server)
    session.atEnd(() => clearFetched(server))
    await session.step('fetch the catalogue from the Storage Box', () =>
      fetchCatalogue(server, session, box, copy),
    )
  }
  const known = session.dryRun ? own : copy
  const all = await holdings(server, session, known)
  const target = targetOf(all, await records(server, session, known), wish, new Date())
  if (box)
    await session.step(`fetch what ${targetText(target)} needs`, () =>
      fetchTarget(server, session, box, copy, target),
    )
  return { copy, target }
}

/** Restores into a scratch container, looks at everything, and removes the container. */
export async function restoreToScratch(
  server: Host,
  session: Session,
  { copy, target }: Choice,
): Promise<Check[]> {
  const start = () =>
    session.step(`restore ${targetText(target)}, recover`, () => startRecovery(server, session, copy, target))
  return inScratch(server, start, async () => {
    if (session.dryRun) return []
    const cluster = scratchDatabase(server)
    const content = await session.step('compare', () => checkContent(cluster, target, new Date()))
    const structure = await session.step('pg_amcheck', () => checkStructure(cluster))
    const pages = await session.step('checksum of every page', () => pageChecksums(server, session))
    return [...content, structure, checkPages(pages)]
  })
}

/** What was restored, as a record names it. */
export function inputsOf({ copy, target }: Choice): Record<string, string | number | null> {
  const { set, at, record } = target
  return {
    from: copy.name,
    backup: set.label,
    backup_stopped_at: set.stopped.toISOString(),
    backup_age_seconds: Math.round((Date.now() - set.stopped.getTime()) / 1000),
    restored_to: at?.toISOString() ?? record?.point ?? 'the end of the archive',
    lsn: record?.lsn ?? null,
    cluster_bytes: set.bytes.cluster,
    manifest_sha256: record?.sha256 ?? null,
    encrypted_with: 'aes-256-cbc',
  }
}

/** The drill: restores the newest backup from the Storage Box's copy into a scratch container and looks at everything. */
export function runDrill(
  server: Host,
  session: Session,
  box: Box,
  signing: Signing,
): Promise<DrillRecord | undefined> {
  return evidenced(server, session, 'restore_drill', signing, new Date(), async (found) => {
    found.rpo_seconds = await knownLag(server)
    const choice = await choose(server, session, box, {})
    found.inputs = inputsOf(choice)
    found.checks = await restoreToScratch(server, session, choice)
    const differing = () => differingOnBox(server, session, box)
    const same = await session.step('compare the copy on the Storage Box with the server', differing)
    found.checks.push(checkAge(choice.target.set.stopped, new Date()), checkCopy(same))
  })
}
