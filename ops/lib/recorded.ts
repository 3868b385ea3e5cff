import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { $ } from 'zx'
import { audit } from './audit.ts'
import { Fail } from './fail.ts'
import type { Host } from './host.ts'
import type { Session } from './session.ts'

const root = join(import.meta.dirname, '../..')

/**
 * The commit of this repository, with `-dirty` when its files are not those of the commit: git's word, or the file REVISION
 * where it was copied without git; null when neither is there.
 */
export async function revision(): Promise<string | null> {
  const git = await $({
    nothrow: true,
  })`cd ${root} && git rev-parse HEAD && { git diff --quiet HEAD -- && [ -z "$(git ls-files --others --exclude-standard)" ] || echo -dirty; }`
  if (git.exitCode === 0) return git.stdout.replaceAll('\n', '')
  try {
    return readFileSync(join(root, 'REVISION'), 'utf8').trim()
  } catch {
    return null
  }
}

/** What tells this installation from the one that `bootstrap` puts in its place; empty while it does. */
export function installation(): string {
  return String(statSync(join(root, 'package.json'), { throwIfNoEntry: false })?.ino ?? '')
}

/**
 * Does work that changes something and appends one line about it to the server's audit log, also when it fails.
 * A failure to write that line never hides the work's own error.
 * @param about filled by the work as it learns what it is about
 */
export async function recorded<T>(
  host: Host,
  session: Session,
  action: string,
  work: (about: Record<string, string>) => Promise<T>,
): Promise<T> {
  const about: Record<string, string> = {}
  const start = performance.now()
  const write = async (outcome: string) => {
    if (session.dryRun) return
    const seconds = Math.round((performance.now() - start) / 100) / 10
    await audit(host, {
      action,
      outcome,
      seconds,
      about: { ...about, tool: (await revision()) ?? 'unknown' },
    })
  }
  let value: T
  try {
    value = await work(about)
  } catch (error) {
    const why = error instanceof Fail ? `${error.outcome}: ${error.message.split('\n')[0]}` : 'failed'
    await write(why).catch((lost: Error) => session.say(`audit log: ${lost.message.split('\n')[0]}`))
    throw error
  }
  await write('done')
  return value
}
