import { createHash } from 'node:crypto'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { walk } from '../../harness/find.ts'
import { $, labPath, text } from '../shell.ts'
import type { Machine } from './machine.ts'

/** A disk that the scripts as they are now have provisioned, and what belongs to it. */
export interface Provisioned {
  /** Of the scripts, their `.env` and the machine's image. */
  hash: string
  /** Passphrases by custodian. */
  secrets: Record<string, string>
  /** What provisioning printed. */
  report: string
  /** The pinned host keys, by file. */
  pins: Record<string, string>
}

const file = () => labPath('luks', 'provisioned.json')
const pins = ['known_hosts', 'unlock_known_hosts']
const pinOf = (name: string) => labPath('luks', 'env', name)

/** The disk of an earlier run with the same scripts, put back; undefined where there is none. The power is off. */
export async function recall(machine: Machine): Promise<Provisioned | undefined> {
  if (!existsSync(file())) return undefined
  const kept = JSON.parse(readFileSync(file(), 'utf8')) as Provisioned
  if (kept.hash !== (await hash(machine)) || !(await machine.saved()).includes('provisioned'))
    return undefined
  await machine.revert('provisioned')
  for (const [name, content] of Object.entries(kept.pins)) writeFileSync(pinOf(name), content)
  return kept
}

/** Keeps the disk for later runs. The power is off then. */
export async function remember(
  machine: Machine,
  secrets: Record<string, string>,
  report: string,
): Promise<void> {
  rmSync(file(), { force: true })
  await machine.save('provisioned')
  const content = Object.fromEntries(pins.map((name) => [name, readFileSync(pinOf(name), 'utf8')]))
  const kept: Provisioned = { hash: await hash(machine), secrets, report, pins: content }
  writeFileSync(file(), JSON.stringify(kept), { mode: 0o600 })
}

/** An empty disk, and no host key that is known. The power is off. */
export async function forget(machine: Machine): Promise<void> {
  await machine.wipe()
  for (const name of pins) rmSync(pinOf(name), { force: true })
}

async function hash({ env }: Machine): Promise<string> {
  const sum = createHash('sha256').update(readFileSync(env))
  for (const path of walk('ops')) sum.update(path).update(readFileSync(path))
  sum.update(await text($`docker image inspect --format {{.Id}} everyskill-lab/luks`))
  return sum.digest('hex')
}
