import { type Kept, kept } from './backups.ts'
import { holdings, own, records } from './copies.ts'
import { attempt } from './exclusive.ts'
import type { Host } from './host.ts'
import { columns, isLabel, type Shelf, total } from './manifest.ts'
import type { PhysicalBackup } from './pgbackrest.ts'
import type { Session } from './session.ts'
import type { SetRecord } from './set.ts'
import { type Box, boxFolder, boxList } from './storagebox.ts'

/** One backup as `list` shows it; null where only the Storage Box has it, which is not asked for every manifest. */
export interface Entry {
  label: string
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
  if (entries.length === 0) return 'none'
  const head = ['LABEL', 'BYTES', 'ROWS', 'SERVER', 'BOX', 'PROVEN']
  const shown = (value: string | number | null) => String(value ?? '?')
  const rows = entries.map(({ label, bytes, rows, server, box, proven }) => [
    ...[label, shown(bytes), shown(rows)],
    ...[server ? 'yes' : '-', box ? 'yes' : '-', Object.keys(proven).join(', ') || '-'],
  ])
  return columns([head, ...rows])
}

/** The physical backups for a person. */
export function physicalText(backups: readonly PhysicalBackup[], records: readonly SetRecord[]): string {
  if (backups.length === 0) return 'none'
  const head = ['LABEL', 'TYPE', 'STOPPED', 'STORED', 'ROWS', 'PAGES']
  const rows = backups.map(({ label, type, stopped, bytes, damaged }) => {
    const counted = records.find((record) => record.label === label)?.rows
    return [
      ...[label, type, stopped.toISOString().slice(0, 19), String(bytes.stored)],
      ...[counted ? String(total(counted)) : '?', damaged ? 'DAMAGED' : 'good'],
    ]
  })
  return columns([head, ...rows])
}

/** All backups there are. */
export interface Everything {
  physical: PhysicalBackup[]
  records: SetRecord[]
  dumps: Entry[]
  files: Entry[]
}

/** Asks the server and the Storage Box for all backups. */
export async function everything(server: Host, session: Session, box: Box): Promise<Everything> {
  const portable = async (shelf: Shelf) => {
    const there = await attempt(server, session, boxList(boxFolder(box, shelf)), { changes: false })
    return catalogue(await kept(server, shelf), there.split('\n').filter(isLabel))
  }
  const { backups } = await holdings(server, session, own)
  const known = await records(server, session, own)
  return { physical: backups, records: known, dumps: await portable('dumps'), files: await portable('files') }
}

/** All backups for a person. */
export function everythingText({ physical, records, dumps, files }: Everything): string {
  const parts = {
    Physical: physicalText(physical, records),
    Dumps: catalogueText(dumps),
    Files: catalogueText(files),
  }
  return Object.entries(parts)
    .map(([name, text]) => `${name}\n${text}`)
    .join('\n\n')
}
