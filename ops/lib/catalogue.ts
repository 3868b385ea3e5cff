import type { Kept } from './backups.ts'
import { columns, total } from './manifest.ts'

/** One backup as `list` shows it; null where only the Storage Box has it, which is not asked for every manifest. */
export interface Entry {
  label: string
  kind: string | null
  createdAt: string | null
  bytes: number | null
  rows: number | null
  server: boolean
  box: boolean
  proven: Kept['proven']
}

/** The backups of both places, the oldest first. */
export function catalogue(here: readonly Kept[], there: readonly string[]): Entry[] {
  const labels = [...new Set([...here.map((one) => one.label), ...there])].sort()
  return labels.map((label) => {
    const one = here.find((kept) => kept.label === label)
    const manifest = one?.manifest
    const sizes = Object.values(manifest?.files ?? {}).map((file) => file.bytes)
    return {
      label,
      kind: manifest?.kind ?? null,
      createdAt: manifest?.createdAt ?? null,
      bytes: manifest ? sizes.reduce((sum, bytes) => sum + bytes, 0) : null,
      rows: manifest ? total(manifest.rows) : null,
      server: one !== undefined,
      box: there.includes(label),
      proven: one?.proven ?? {},
    }
  })
}

/** The catalogue for a person. */
export function catalogueText(entries: readonly Entry[]): string {
  if (entries.length === 0) return 'no backups'
  const head = ['LABEL', 'KIND', 'BYTES', 'ROWS', 'SERVER', 'BOX', 'PROVEN']
  const shown = (value: string | number | null) => String(value ?? '?')
  const rows = entries.map(({ label, kind, bytes, rows, server, box, proven }) => [
    ...[label, shown(kind), shown(bytes), shown(rows)],
    ...[server ? 'yes' : '-', box ? 'yes' : '-', Object.keys(proven).join(', ') || '-'],
  ])
  return columns([head, ...rows])
}
