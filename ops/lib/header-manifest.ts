import type { Picked } from './env.ts'
import { attempt } from './exclusive.ts'
import { Fail } from './fail.ts'
import type { Host } from './host.ts'
import { isLabel } from './manifest.ts'
import type { Session } from './session.ts'
import { lines, sh } from './sh.ts'
import { type Box, boxFolder, boxList, boxNames, boxShell, ownBox } from './storagebox.ts'

export const headerBackupNames = [...boxNames, 'BACKUP_GPG_RECIPIENTS'] as const
export type HeaderBackupEnv = Picked<(typeof headerBackupNames)[number]>

/** What is known of a header backup without opening it. */
export interface HeaderManifest {
  format: 1
  label: string
  createdAt: string
  /** Of the LUKS2 header. */
  uuid: string
  device: string
  /** Of the partition, from the partition table, which a damaged header leaves alone; empty where there is none. */
  partition: string
  /** SHA-256 of the header, and of the file that is encrypted. */
  sha256: string
  encrypted: string
  slots: { slot: number; custodian: string | null }[]
  tool: string | null
}

/** The Storage Box's folder of header backups, with the sub-account's key on this machine. */
export function headerBox(envFile: string, env: HeaderBackupEnv): Box {
  return boxFolder(ownBox(envFile, env), 'luks-headers')
}

/** Every folder on the box that may hold a header, the oldest first: also a `.part`, which a call left that was cut short. */
export async function headerFolders(here: Host, session: Session, box: Box): Promise<string[]> {
  const text = await attempt(here, session, boxList(box), { changes: false })
  return text
    .split('\n')
    .filter((name) => isLabel(name.replace(/\.part$/, '')))
    .sort()
}

/** The header backups on the box, the oldest first. */
export async function headerBackups(here: Host, session: Session, box: Box): Promise<string[]> {
  return (await headerFolders(here, session, box)).filter(isLabel)
}

/** What a header backup on the box says of itself. @throws Fail `unverified` when it says nothing that can be read */
export async function headerManifest(
  here: Host,
  session: Session,
  box: Box,
  label: string,
): Promise<HeaderManifest> {
  const script = lines(boxShell(box), sh`box cat ${`${box.dir}/${label}/header.json`}`)
  const text = await attempt(here, session, script, { changes: false })
  try {
    const manifest = JSON.parse(text) as HeaderManifest
    if (manifest.format === 1 && manifest.label === label && Array.isArray(manifest.slots)) return manifest
  } catch {}
  throw new Fail('unverified', `header.json of the header backup ${label} on the Storage Box cannot be read`)
}

/** What of a device tells whether a header is its own. */
export interface Target {
  /** Of the header that is there; empty: there is none that cryptsetup understands. */
  uuid: string
  /** The partition's id; empty where there is none. */
  partition: string
}

/**
 * Refuses a header backup that would not bring this device back.
 * @throws Fail `refused`: of another disk, or without key slots
 */
export function refuseHeader(manifest: HeaderManifest, target: Target, device: string): void {
  const { label, uuid, partition, slots } = manifest
  const no = (why: string) => new Fail('refused', `the header backup ${label} ${why}. Nothing was changed`)
  if (slots.length === 0) throw no('has no key slot: no passphrase would open the disk any more')
  if (target.uuid !== '' && target.uuid !== uuid)
    throw no(`is of another disk: its UUID is ${uuid}, that of ${device} is ${target.uuid}`)
  if (target.partition !== '' && partition !== '' && target.partition !== partition)
    throw no(`is of another partition: ${partition}, ${device} is ${target.partition}`)
}
