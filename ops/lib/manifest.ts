import * as v from 'valibot'
import { Fail } from './fail.ts'

/** Where portable backups lie, each kind in a folder of its own, and what each consists of: a dump, and what is in no database. */
export const shelves = {
  dumps: ['database.dump.gpg', 'globals.sql.gpg'],
  files: ['files.tar.gpg'],
} as const
export type Shelf = keyof typeof shelves

const label = /^\d{8}T\d{6}Z$/
const file = v.object({ bytes: v.number(), sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)) })

/** Written last, so a folder without one is no backup. */
const manifestSchema = v.object({
  format: v.literal(1),
  label: v.pipe(v.string(), v.regex(label)),
  shelf: v.picklist(['dumps', 'files']),
  createdAt: v.pipe(v.string(), v.regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$/)),
  files: v.record(v.string(), file),
  /** Rows of each table, counted in the dump itself. */
  rows: v.record(v.string(), v.number()),
  postgres: v.nullable(v.string()),
  pgvector: v.nullable(v.string()),
  /** The release that was live, and the commit of this repository that made the backup; null when unknown. */
  release: v.nullable(v.string()),
  tool: v.nullable(v.string()),
  /** Fingerprints of the keys that open it; empty when a passphrase does. */
  recipients: v.array(v.string()),
})

export type Manifest = v.InferOutput<typeof manifestSchema>
export type Rows = Record<string, number>

/** A backup's name: the second it began, in UTC. Names sort by age. */
export function labelAt(date: Date): string {
  return secondOf(date.toISOString())
}

function secondOf(iso: string): string {
  return iso.replace(/[-:]|\.\d+/g, '')
}

/** Whether a folder's name is that of a finished backup. `.part` never is. */
export function isLabel(name: string): boolean {
  return label.test(name)
}

/** The moment that a name stands for. */
export function dateOf(name: string): Date {
  return new Date(name.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'))
}

/**
 * The backups whose time is over: older than so many days, and never one of the newest.
 * @param keep how many of the newest stay whatever their age
 */
export function expired(labels: readonly string[], now: Date, days: number, keep: number): string[] {
  const oldest = labelAt(new Date(now.getTime() - days * 86_400_000))
  const byAge = [...labels].sort()
  return byAge.slice(0, Math.max(0, byAge.length - keep)).filter((name) => name < oldest)
}

/**
 * Reads a manifest.
 * @param where for the message: on which machine it lies
 * @throws Fail `unverified` when it is not one, or is another backup's
 */
export function parseManifest(text: string, name: string, where: string): Manifest {
  const result = v.safeParse(manifestSchema, json(text))
  const damaged = (why: string) =>
    new Fail('unverified', `manifest.json of ${name} on the ${where} is damaged: ${why}`)
  if (!result.success) throw damaged(v.summarize(result.issues))
  const { label, createdAt, shelf, files } = result.output
  const whose = [label, secondOf(createdAt)]
  if (whose.some((one) => one !== name)) throw damaged(`it says ${whose.join(' and ')}`)
  const missing = shelves[shelf].filter((one) => !files[one])
  if (missing.length > 0) throw damaged(`it says nothing about ${missing.join(' and ')}`)
  return result.output
}

function json(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** One line for each table whose rows are not those of the dump, in both directions. */
export function differences(dumped: Rows, found: Rows): string[] {
  const tables = [...new Set([...Object.keys(dumped), ...Object.keys(found)])].sort()
  return tables
    .filter((table) => dumped[table] !== found[table])
    .map((table) => `${table}: ${dumped[table] ?? 'no table'} in the dump, ${found[table] ?? 'no table'} now`)
}

/** Rows of all tables together. */
export function total(rows: Rows): number {
  return Object.values(rows).reduce((sum, count) => sum + count, 0)
}

/** A backup in one line. */
export function summary({ label: name, shelf, rows, files }: Manifest): string {
  const bytes = Object.values(files).reduce((sum, one) => sum + one.bytes, 0)
  const tables = Object.keys(rows).length
  return `${name}: ${shelf === 'dumps' ? `dump of ${tables} tables, ${total(rows)} rows` : 'files'}, ${bytes} bytes`
}

/** `table<TAB>count` lines as a record. */
export function parseRows(lines: readonly string[]): Rows {
  return Object.fromEntries(
    lines.map((line) => {
      const tab = line.lastIndexOf('\t')
      return [line.slice(0, tab), Number(line.slice(tab + 1))]
    }),
  )
}

/** Columns side by side, the first row as the head. */
export function columns(rows: readonly (readonly string[])[]): string {
  const widths = rows.reduce<number[]>(
    (all, row) => row.map((cell, i) => Math.max(all[i] ?? 0, cell.length)),
    [],
  )
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
