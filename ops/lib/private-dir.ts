import { lstatSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import type { Session } from './session.ts'

/**
 * A folder of this process that nobody else can enter; it goes when the script ends, at the latest when the next one begins.
 * @param base where it is made; the system's place for temporary files, unless given
 */
export function privateDir(session: Session, base = tmpdir()): string {
  clearStale(base)
  const dir = mkdtempSync(join(base, `everyskill-${process.pid}-`))
  session.atEnd(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** Removes what killed scripts of this user left. What cannot be removed stays: it must not stop this one. */
function clearStale(base: string): void {
  for (const name of readdirSync(base)) {
    const pid = /^everyskill-([1-9]\d*)-\w{6}$/.exec(name)?.[1]
    if (!pid || runs(Number(pid))) continue
    const path = join(base, name)
    try {
      if (lstatSync(path).uid === userInfo().uid) rmSync(path, { recursive: true, force: true })
    } catch {}
  }
}

/** Whether a process of any user runs; one of another user answers EPERM. */
function runs(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}
