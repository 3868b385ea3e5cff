import { Fail } from './fail.ts'

/** PostgreSQL's default, which our clusters are made with. */
const segmentBytes = 16n * 1024n ** 2n
const segmentsInFile = 2n ** 32n / segmentBytes
const segment = /^([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})/

/** A position in the WAL, such as `0/3000028`, as a number of bytes. @throws Fail `unverified` when it is none */
export function position(lsn: string): bigint {
  const [, high, low] = /^([0-9A-F]{1,8})\/([0-9A-F]{1,8})$/i.exec(lsn) ?? []
  if (!high || !low) throw new Fail('unverified', `${lsn} is no position in the WAL`)
  return (BigInt(`0x${high}`) << 32n) + BigInt(`0x${low}`)
}

/** Whether a file of the archive is a segment; its name begins with that of the segment (not `.history`, `.backup`). */
export function isSegment(file: string): boolean {
  return /^[0-9A-F]{24}(-[0-9a-f]{40})?(\.\w+)?$/.test(file)
}

/** The timeline that a segment belongs to. */
export function timelineOf(name: string): number {
  return Number.parseInt(name.slice(0, 8), 16)
}

/** The position at which a segment ends. */
export function endOf(name: string): bigint {
  const [, , log, number] = segment.exec(name) ?? []
  if (!log || !number) throw new Fail('unverified', `${name} is no WAL segment`)
  return (BigInt(`0x${log}`) * segmentsInFile + BigInt(`0x${number}`) + 1n) * segmentBytes
}

/** The folder of the archive in which pgBackRest keeps a segment. */
export function folderOf(name: string): string {
  return name.slice(0, 16)
}
