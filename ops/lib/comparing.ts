import { type Check, checkRows } from './checks.ts'
import { type Cluster, countTables, newestRow, pgvectorIn } from './database.ts'
import type { Findings } from './evidenced.ts'
import { Fail } from './fail.ts'
import { columns, differences, type Manifest, type Rows, total } from './manifest.ts'

/** A restored database beside what its manifest says of the dump. */
export interface Comparison {
  label: string
  ok: boolean
  /** One line for each difference. */
  wrong: string[]
  dumped: Rows
  restored: Rows
  pgvector: string | null
  /** The newest moment that stands in a created or updated column; null where there is none. */
  newestRow: string | null
}

/** Compares a restored database with its manifest, table by table. */
export async function compareRestored(
  cluster: Cluster,
  name: string,
  manifest: Manifest,
): Promise<Comparison> {
  const restored = await countTables(cluster, name)
  const pgvector = await pgvectorIn(cluster, name)
  const newest = await newestRow(cluster, name, manifest.createdAt)
  const wrong = differences(manifest.rows, restored)
  if (manifest.pgvector && !pgvector) wrong.push('the extension vector is missing')
  return {
    label: manifest.label,
    ok: wrong.length === 0,
    wrong,
    dumped: manifest.rows,
    restored,
    pgvector,
    newestRow: newest?.toISOString() ?? null,
  }
}

/** The comparison as a record names it. */
export function comparisonChecks({ dumped, restored, wrong }: Comparison): Check[] {
  const others = { name: 'anything else', expected: 'nothing', observed: wrong.join('; ') || 'nothing' }
  const rows = checkRows(dumped, restored)
  return rows.every((one) => one.ok) ? [...rows, { ...others, ok: wrong.length === 0 }] : rows
}

/** A dump as a record names it. */
export function dumpInputs({ label, createdAt, release, files }: Manifest, from: string): Findings['inputs'] {
  const hashes = Object.entries(files).map(([name, { sha256 }]) => [`${name}_sha256`, sha256])
  const age = Math.round((Date.now() - Date.parse(createdAt)) / 1000)
  const about = { from, backup: label, backup_stopped_at: createdAt, backup_age_seconds: age, release }
  return { ...about, ...Object.fromEntries(hashes) }
}

/** The comparison for a person. */
export function comparisonText({ dumped, restored, pgvector, newestRow }: Comparison): string {
  const rows = Object.entries(dumped).map(([table, count]) => [
    table,
    String(count),
    String(restored[table] ?? 'none'),
  ])
  const sum = `${total(restored)} rows, pgvector ${pgvector ?? 'none'}, newest row ${newestRow ?? 'unknown'}`
  return `${columns([['TABLE', 'DUMPED', 'RESTORED'], ...rows])}\n${sum}`
}

/** @throws Fail `unverified` when what was restored is not what was dumped */
export function refuseDifferences({ wrong }: Comparison): void {
  if (wrong.length > 0)
    throw new Fail('unverified', `what was restored is not what was dumped:\n  ${wrong.join('\n  ')}`)
}
