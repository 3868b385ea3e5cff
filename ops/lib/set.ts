import * as v from 'valibot'
import { Fail } from './fail.ts'
import { parseRows, type Rows, total } from './manifest.ts'
import type { PhysicalBackup } from './pgbackrest.ts'

const name = v.pipe(v.string(), v.regex(/^\d{8}-\d{6}F(_\d{8}-\d{6}[DI])?$/))

/** What a physical backup was found to be when it was made; kept beside the repository and on the Storage Box. */
const recordSchema = v.object({
  format: v.literal(1),
  label: name,
  type: v.picklist(['full', 'diff', 'incr']),
  startedAt: v.string(),
  stoppedAt: v.string(),
  /** The restore point that was set after it: at it the rows were counted. */
  point: v.string(),
  lsn: v.string(),
  /** The first segment that a restore needs, and the one that holds the restore point. */
  wal: v.object({ start: v.string(), point: v.string() }),
  bytes: v.object({ cluster: v.number(), stored: v.number() }),
  /** SHA-256 of pgBackRest's own manifest of it, as it lies in the repository. */
  sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
  /** Rows of each counted table; null when the tables were too busy to be counted. */
  rows: v.nullable(v.record(v.string(), v.number())),
  postgres: v.string(),
  pgvector: v.nullable(v.string()),
  system: v.string(),
  release: v.nullable(v.string()),
  tool: v.nullable(v.string()),
})

export type SetRecord = v.InferOutput<typeof recordSchema>

/** Reads a record. @throws Fail `unverified` when it is not one */
export function parseRecord(text: string, where: string): SetRecord {
  const result = v.safeParse(v.pipe(v.string(), v.parseJson(), recordSchema), text)
  if (result.success) return result.output
  throw new Fail('unverified', `${where} is damaged: ${v.summarize(result.issues)}`)
}

/** A set's record, from what pgBackRest's catalogue says and the facts that the marking printed. */
export function recordOf(
  backup: PhysicalBackup,
  facts: string,
  known: Pick<SetRecord, 'point' | 'tool'>,
): SetRecord {
  const all = facts.split('\n').map((line) => line.split('\t'))
  const value = (head: string) => all.find(([one]) => one === head)?.[1] || null
  const needed = (head: string) => {
    const found = value(head)
    if (found) return found
    throw new Fail('failed', `the backup told nothing about its ${head}`)
  }
  const rows: Rows = parseRows(all.filter(([one]) => one === 'rows').map((row) => row.slice(1).join('\t')))
  return {
    format: 1,
    label: backup.label,
    type: backup.type,
    startedAt: backup.started.toISOString(),
    stoppedAt: backup.stopped.toISOString(),
    ...known,
    lsn: needed('lsn'),
    wal: { start: backup.wal.start, point: needed('segment') },
    bytes: backup.bytes,
    sha256: needed('sha256'),
    rows: value('busy') ? null : rows,
    postgres: needed('postgres'),
    pgvector: value('pgvector'),
    system: needed('system'),
    release: value('release'),
  }
}

/** A set in one line. */
export function setSummary({ label, type, bytes, rows }: SetRecord): string {
  const counted = rows ? `${total(rows)} rows in ${Object.keys(rows).length} tables` : 'rows not counted'
  return `${label}: ${type}, ${bytes.stored} bytes stored of ${bytes.cluster}, ${counted}`
}
