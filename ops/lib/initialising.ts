import { backupNames } from './backup-files.ts'
import { custodyText, depositPassphrase, makeKey, probeBox } from './custody.ts'
import { type Picked, pathIn } from './env.ts'
import { Fail } from './fail.ts'
import { Host } from './host.ts'
import { checkRecipients } from './recipients.ts'
import type { Session } from './session.ts'
import { ownBox } from './storagebox.ts'
import { apiNames, boxApi, protectBox } from './storagebox-api.ts'

export const initNames = [...backupNames, ...apiNames, 'BACKUP_CIPHER_PASS', 'EVIDENCE_KEY'] as const

/** A snapshot a day, at a quiet hour; as many as every size of box allows. */
const plan = { hour: 3, minute: 40, maxSnapshots: 10 }

/**
 * What backups need before the first one: keys, a Storage Box that lets them do their work, the passphrase in custody.
 * Safe to run again.
 * @returns what the custodians have to keep
 */
export async function initialise(
  session: Session,
  envFile: string,
  env: Picked<(typeof initNames)[number]>,
): Promise<string> {
  const here = new Host('operator', [], session)
  await checkRecipients(envFile, env, session)
  await session.step('make the keys that are missing', async () => {
    const made = await makeKey(envFile, env.STORAGEBOX_SSH_KEY, 'everyskill-box', session)
    if (env.EVIDENCE_KEY) await makeKey(envFile, env.EVIDENCE_KEY, 'everyskill-evidence', session)
    if (made) throw new Fail('refused', installText(pathIn(envFile, env.STORAGEBOX_SSH_KEY), env))
  })
  const box = ownBox(envFile, env)
  await session.step('ask the Storage Box what it allows', () => probeBox(here, session, box))
  await session.step('put the passphrase in custody', () =>
    depositPassphrase(here, session, box, envFile, env),
  )
  const api = boxApi(envFile, env, session)
  if (!api) return `${consoleText}\n\n${custodyText(box)}`
  const protect = () => protectBox(api, plan)
  const changed = await session.step('set the snapshot plan and the delete protection', protect)
  for (const what of changed) session.say(`  ${what}`)
  return custodyText(box)
}

const consoleText = `Without HCLOUD_TOKEN, do this in Hetzner's console, for the box itself (not its sub-account):
  1. Snapshots: automatic, daily at ${plan.hour}:${plan.minute} UTC, keep ${plan.maxSnapshots}. They are what is left when a stolen server deletes its backups.
  2. Protection: on.`

function installText(
  key: string,
  env: Picked<'STORAGEBOX_USER' | 'STORAGEBOX_HOST' | 'STORAGEBOX_PORT'>,
): string {
  const account = `${env.STORAGEBOX_USER}@${env.STORAGEBOX_HOST}`
  return `made ${key}. The Storage Box does not know it yet; its password is asked for once:\n  ssh -p ${env.STORAGEBOX_PORT} ${account} install-ssh-key < ${key}.pub\nThen run this again`
}
