import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { post } from './alerting.ts'
import { Fail } from './fail.ts'
import { showsPinnedKey } from './prompt-pin.ts'
import type { Session } from './session.ts'
import { type Where, whereIs } from './waiting-host.ts'

/** How long a host may be down before somebody is told, and when they are told again, milliseconds. */
const patience = 10 * 60_000
const again = 60 * 60_000

/** What a look at a host finds; `foreign`: its sshd does not show the pinned host key, as the rescue system's. */
export type Seen = Where | 'foreign'

/** What the last look left behind, on this machine. */
export interface Watched {
  where: Seen
  /** When it was first seen down; that of a host that is up does not matter. */
  since: string
  /** When somebody was told of that; undefined: nobody was. */
  told: string | undefined
}

/** What a look makes of the one before, and what has to be told. */
export function compare(
  name: string,
  before: Watched | undefined,
  where: Seen,
  now: Date,
): { next: Watched; text: string | undefined } {
  const at = now.toISOString()
  if (where === 'up') {
    const text = before?.told ? `${name} is up again` : undefined
    return { next: { where, since: at, told: undefined }, text }
  }
  const since = before && before.where !== 'up' ? before.since : at
  const told = before && before.where !== 'up' ? before.told : undefined
  const due = now.getTime() - Date.parse(since) >= patience
  const old = told === undefined || now.getTime() - Date.parse(told) >= again
  if (!due || !old) return { next: { where, since, told }, text: undefined }
  const says = {
    waiting: `waits at its unlock prompt, seen first at ${since}: a custodian runs tsx ops/unlock.ts`,
    silent: `answers neither by ssh nor at its unlock prompt, seen first at ${since}`,
    foreign: `is up, but does not show the host key of SERVER_KNOWN_HOSTS, seen first at ${since}: it is in the rescue system, or was installed anew`,
  }
  const text = `${name} ${says[where]} (runbooks/unlock-after-reboot.md)`
  return { next: { where, since, told: at }, text }
}

/**
 * One look at a host. One that is up may be slow to say so once.
 * @param knownHosts of its sshd; undefined: any sshd is taken for its own
 */
export async function lookAt(
  name: string,
  ports: { prompt: number; ssh: number },
  knownHosts: string | undefined,
): Promise<Seen> {
  const where = await whereIs(name, ports, 10)
  if (where !== 'up' || !knownHosts) return where
  return (await showsPinnedKey(name, String(ports.ssh), knownHosts)) ? 'up' : 'foreign'
}

/** Where the looks at a host are kept on this machine. */
export function watchFile(name: string): string {
  const state = process.env.XDG_STATE_HOME || join(homedir(), '.local/state')
  return join(state, 'everyskill', `waiting-${name}.json`)
}

/**
 * Keeps a look at a host, and tells what is news: on stdout, which cron mails, and to the alert address.
 * @throws Fail `failed` when the alert could not be delivered; it is tried again with the next look
 */
export async function tell(
  session: Session,
  name: string,
  where: Seen,
  url: string | undefined,
  now = new Date(),
): Promise<void> {
  const file = watchFile(name)
  const before = kept(file)
  const { next, text } = compare(name, before, where, now)
  if (text) session.result(text)
  const lost = text && url && !session.dryRun ? await post(url, text) : undefined
  if (!session.dryRun)
    keep(file, lost ? { ...next, where: before?.where ?? where, told: before?.told } : next)
  if (lost) throw new Fail('failed', `the alert was not delivered: ${lost}`)
}

function kept(file: string): Watched | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Watched
  } catch {
    return undefined
  }
}

function keep(file: string, watched: Watched): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  writeFileSync(`${file}.part`, `${JSON.stringify(watched)}\n`)
  renameSync(`${file}.part`, file)
}
