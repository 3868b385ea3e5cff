import { attempt, exclusive } from './exclusive.ts'
import { Fail } from './fail.ts'
import { mapped } from './header.ts'
import type { HeaderBackupEnv } from './header-manifest.ts'
import type { Host } from './host.ts'
import { giveSlots } from './luks-format.ts'
import { openRoot } from './new-root.ts'
import type { KeptLayout } from './preserve-layout.ts'
import { beginScript, copyBootScript, cutScript, goOnScript, shrinkScript } from './preserve-steps.ts'
import type { Session } from './session.ts'
import { type Script, sh } from './sh.ts'
import { boxFolder, boxList, ownBox } from './storagebox.ts'
import type { Provisioning } from './wiping.ts'

/** Refuses without a backup that can be named: a disk that fails half way takes the system with it. */
export async function checkAttested(
  here: Host,
  session: Session,
  envFile: string,
  env: HeaderBackupEnv,
  label: string,
): Promise<void> {
  const box = boxFolder(ownBox(envFile, env), 'dumps')
  const there = (await attempt(here, session, boxList(box), { changes: false })).split('\n')
  if (there.includes(label)) return
  throw new Fail(
    'refused',
    `--backup-attested ${label}: the Storage Box has no such dump in ${box.dir}. Make one with ops/backup.ts, prove it with a restore, and name it`,
  )
}

/**
 * Encrypts the system that is there where it lies, each step only after the one before was judged. Interrupted in any of
 * them, also by a power cut, the same call goes on.
 * @returns the phases that are done in the system
 */
export async function preserve(to: Provisioning, layout: KeptLayout): Promise<string[]> {
  const { host, session, timed, custodians, passphrases, cost } = to
  const [first = ''] = passphrases
  const reached = (['plain', 'cut', 'copied', 'encrypting'] as const).indexOf(layout.stage)
  const run = (script: Script, timeout: number, input?: string) =>
    attempt(host, session, exclusive(script, 'provision'), { timeout, ...(input && { input }) })
  if (reached < 1) {
    await timed('shrink the file system', () => run(shrinkScript(layout), 6 * 3600))
    await timed('cut the partition', () => run(cutScript(layout), 3600))
  }
  if (reached < 2) await timed('copy /boot', () => run(copyBootScript(layout), 3600))
  if (reached < 3) await timed('begin to encrypt', () => run(beginScript(layout, cost), 600, first))
  await timed('encrypt', () => run(goOnScript(layout.luks), 0, first))
  await timed('key slots', () => giveSlots(host, session, layout.luks, custodians, passphrases, cost))
  const done = await timed('open', () => openRoot(host, session, layout, first))
  await timed('grow the file system', () => run(sh`resize2fs ${`/dev/mapper/${mapped}`} > /dev/null`, 3600))
  return done
}
