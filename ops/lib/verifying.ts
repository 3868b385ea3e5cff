import { countInside } from './ciphertext.ts'
import { attempt } from './exclusive.ts'
import { Fail } from './fail.ts'
import type { Host } from './host.ts'
import { cipherFiles, differences, type Manifest, total } from './manifest.ts'
import { paths } from './paths.ts'
import type { Session } from './session.ts'
import { fromServer, type Source } from './source.ts'
import { type Box, boxHashes } from './storagebox.ts'

/**
 * Compares both copies of a backup with what was made.
 * @returns what was shown, in words
 * @throws Fail `unverified` naming each file that differs
 */
export async function compareCopies(
  server: Host,
  session: Session,
  box: Box,
  label: string,
): Promise<string> {
  const manifest = await fromServer(server, session).manifest(label)
  const hashes = await attempt(server, session, boxHashes(box, paths.dumps, label), { changes: false })
  refuse(label, wrongHashes(manifest, hashes))
  return 'the copies on the server and on the Storage Box are what was made'
}

/**
 * Reads a copy of a backup to its end, decrypted here, and compares its rows with the manifest.
 * @throws Fail `unverified`
 */
export async function readToEnd(
  source: Source,
  session: Session,
  gpg: readonly string[],
  label: string,
  image: string,
): Promise<string> {
  const manifest = await source.manifest(label)
  refuse(label, differences(manifest.rows, await countInside(source, gpg, manifest, image, session)))
  const tables = Object.keys(manifest.rows).length
  return `the copy on the ${source.name} opens and holds ${total(manifest.rows)} rows in ${tables} tables`
}

function refuse(label: string, wrong: readonly string[]): void {
  if (wrong.length === 0) return
  throw new Fail('unverified', `${label} is not what was made:\n  ${wrong.join('\n  ')}`)
}

/** What `boxHashes` found that is not as the manifest says; the two manifests are compared with each other. */
export function wrongHashes(manifest: Manifest, found: string): string[] {
  const rows = found.split('\n').map((line) => line.split('\t'))
  const hash = (side: string, file: string) => rows.find((row) => row[0] === side && row[1] === file)?.[2]
  const wrong = ['server', 'box'].flatMap((side) =>
    cipherFiles
      .filter((name) => hash(side, name) !== manifest.files[name].sha256)
      .map((name) => `${name} on the ${side}: ${hash(side, name) ?? 'missing'}`),
  )
  const same = hash('server', 'manifest.json') === hash('box', 'manifest.json')
  return same ? wrong : [...wrong, 'manifest.json on the box differs from the one on the server']
}
