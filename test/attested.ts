/** A dump as it lies on a Storage Box, for what only looks at it: nobody can decrypt or restore it. */
import { createHash } from 'node:crypto'
import type { Manifest } from '../ops/lib/manifest.ts'

const contents: Record<string, string> = { 'database.dump.gpg': 'a dump', 'globals.sql.gpg': 'its roles' }
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')

/** The text of each of its files, by name. */
export function attestedDump(label: string, over: Partial<Manifest> = {}): Record<string, string> {
  const files = Object.entries(contents).map(([name, text]) => [
    name,
    { bytes: text.length, sha256: sha256(text) },
  ])
  const manifest: Manifest = {
    ...{ format: 1, label, shelf: 'dumps', files: Object.fromEntries(files) },
    createdAt: label.replace(/^(....)(..)(..)T(..)(..)(..)Z$/, '$1-$2-$3T$4:$5:$6Z'),
    ...{ rows: { 'public.documents': 3 }, postgres: '17.11', pgvector: '0.8.0' },
    ...{ release: null, tool: null, recipients: [], ...over },
  }
  return { ...contents, 'manifest.json': JSON.stringify(manifest) }
}
