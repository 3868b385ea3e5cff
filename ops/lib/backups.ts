export { backupFiles, backupNames } from './backup-files.ts'

import { operator } from './audit.ts'
import { exclusive } from './exclusive.ts'
import type { Host } from './host.ts'
import { dateOf, isLabel, type Manifest, parseManifest, type Shelf } from './manifest.ts'
import { paths } from './paths.ts'
import type { Session } from './session.ts'
import { lines, sh } from './sh.ts'

/** What has been shown about a backup: that the box holds it unaltered, that it opens, that it restores. */
export const proofs = ['shipped', 'verified', 'decrypted', 'restored'] as const
export type Proof = (typeof proofs)[number]

/** One backup on the server. */
export interface Kept {
  label: string
  /** Undefined when it is damaged. */
  manifest: Manifest | undefined
  /** When each thing was last shown, in ISO time. */
  proven: Partial<Record<Proof, string>>
}

/** The portable backups of a kind on the server, the oldest first. */
export async function kept(host: Host, where: Shelf): Promise<Kept[]> {
  const text = await host.read(sh`cd ${paths[where]} 2> /dev/null || exit 0
for dir in *Z; do
  [ -f "$dir/manifest.json" ] || continue
  printf "%s\\t%s\\t%s\\n" "$dir" "$(tr -d "\\n" < "$dir/manifest.json")" "$(cat "$dir/proofs" 2> /dev/null | tr "\\n" ";" || true)"
done`)
  const rows = text.split('\n').map((line) => line.split('\t') as [string, string, string])
  return rows
    .filter(([label]) => isLabel(label))
    .map(([label, manifest, log]) => keptOne(label, manifest, log))
}

function keptOne(label: string, text: string, log: string): Kept {
  const proven: Kept['proven'] = {}
  for (const line of log.split(';')) {
    const [at, what] = line.split(' ')
    if (at && (proofs as readonly string[]).includes(what ?? '')) proven[what as Proof] = at
  }
  try {
    return { label, manifest: parseManifest(text, label, 'server'), proven }
  } catch {
    return { label, manifest: undefined, proven }
  }
}

/** Writes down beside a backup what was shown about it; nothing when the server holds it no more. */
export async function prove(host: Host, where: Shelf, label: string, what: Proof): Promise<void> {
  const line = `${new Date().toISOString()} ${what} ${operator().replace(/[\s;]/g, '_')}`
  const folder = `${paths[where]}/${label}`
  await host.run(sh`umask 077; [ ! -d ${folder} ] || printf "%s\\n" ${line} >> ${`${folder}/proofs`}`)
}

/** Writes down that a backup restores. The restore is good without the note: that it failed is only told. */
export async function noteRestored(host: Host, session: Session, label: string): Promise<void> {
  const told = (error: Error) => session.say(`not written down that ${label} was restored: ${error.message}`)
  await prove(host, 'dumps', label, 'restored').catch(told)
}

/** Removes backups from the server: first out of the list by renaming, so that half of one never counts. */
export async function removeFromShelf(host: Host, where: Shelf, labels: readonly string[]): Promise<void> {
  if (labels.length === 0) return
  await host.run(
    exclusive(
      lines(
        sh`cd ${paths[where]}`,
        sh`for name in ${labels}; do mv -T "$name" "$name.part"; rm -rf -- "$name.part"; done`,
      ),
    ),
    { timeout: 600 },
  )
}

/**
 * When the newest portable backup was made that the Storage Box holds unaltered; undefined: there is none.
 * It asks only the server: each run of `backup` writes there what it has shown.
 */
export async function newestKept(host: Host, where: Shelf): Promise<Date | undefined> {
  const good = (await kept(host, where)).filter((one) => one.manifest && one.proven.shipped).at(-1)
  return good && dateOf(good.label)
}
