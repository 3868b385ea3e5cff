import { operator } from './audit.ts'
import type { Picked } from './env.ts'
import { backUpHeader } from './header-backup.ts'
import { type HeaderBackupEnv, headerBackupNames, headerBox, headerFolders } from './header-manifest.ts'
import type { Host } from './host.ts'
import { withLock } from './lock.ts'
import { checkRecipients } from './recipients.ts'
import { recorded } from './recorded.ts'
import type { Session } from './session.ts'
import { quote } from './sh.ts'
import type { Cost } from './slots.ts'
import type { Box } from './storagebox.ts'

const costNames = ['LUKS_MEMORY', 'LUKS_ITERATIONS', 'LUKS_PARALLEL'] as const
/** What the verbs below need of a `.env`, besides the way to the server. */
export const custodyNames = [...headerBackupNames, ...costNames] as const

/** An encrypted host that runs, and what it takes to change who can unlock it. */
export interface Encrypted {
  host: Host
  /** This machine. */
  here: Host
  session: Session
  envFile: string
  env: HeaderBackupEnv & Picked<(typeof costNames)[number]>
  /** The device with the LUKS2 header; `encryptedDevice` finds it. */
  device: string
}

/** The stated cost of a `.env`. */
export function costOf(env: Picked<(typeof costNames)[number]>): Cost {
  const [memory, iterations, parallel] = costNames.map((name) => Number(env[name])) as [
    number,
    number,
    number,
  ]
  return { memory, iterations, parallel }
}

/** Holds the lock, writes the audit log, and ends with a header backup: no change of the keys without one. */
export async function changing(disk: Encrypted, what: string, work: () => Promise<void>): Promise<void> {
  const { host, here, session, envFile, env, device } = disk
  await withLock(host, session, { name: 'luks', who: operator(), what }, () =>
    recorded(host, session, what, async (about) => {
      // First, so that a box which does not answer stops a change that could not be backed up.
      const old = session.dryRun ? [] : await headerFolders(here, session, headerBox(envFile, env))
      await checkRecipients(envFile, env, session)
      await work()
      const { label } = await session.step('back up the header, count its slots', () =>
        backUpHeader(host, here, session, envFile, env, device),
      )
      about.header = label
      session.result(oldHeadersText(headerBox(envFile, env), label, old))
    }),
  )
}

/** What has to be done with the header backups from before: commands to paste. */
export function oldHeadersText(box: Box, label: string, old: readonly string[]): string {
  const kept = `header backup ${label}: on the Storage Box, slots counted`
  if (old.length === 0) return kept
  return [
    kept,
    'Older header backups open this disk with the keys of their day, also with a revoked one. Destroy them, and every copy elsewhere:',
    `  ${toPaste(box, 'rm', '-r', ...old.map((one) => `${box.dir}/${one}`))}`,
    `Then this shows ${label} alone:`,
    `  ${toPaste(box, 'ls', box.dir)}`,
  ].join('\n')
}

/** One command on the Storage Box for a person's shell; `-n`, or ssh would read away what is pasted after it. */
function toPaste({ ssh: [program = '', ...way] }: Box, ...words: string[]): string {
  const all = [program, '-n', ...way, ...words]
  return all.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : quote(word))).join(' ')
}
