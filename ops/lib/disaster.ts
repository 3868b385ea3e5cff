import { checkContent } from './checks.ts'
import type { keyNames } from './ciphertext.ts'
import { fetched, holdings, own } from './copies.ts'
import { liveCluster } from './database.ts'
import { inputsOf } from './drilling.ts'
import type { Picked } from './env.ts'
import type { DrillRecord } from './evidence.ts'
import { evidenced } from './evidenced.ts'
import { fetchAll, fetchEvidence } from './fetching.ts'
import type { Host } from './host.ts'
import { newestChange, refuseDatabase, refuseOpenDisk, restoreCluster, restoreState } from './new-server.ts'
import { program } from './program.ts'
import { endReturn } from './returning.ts'
import type { Session } from './session.ts'
import { type boxNames, ownBox, serverBox } from './storagebox.ts'
import type { Wish } from './target.ts'

export interface Disaster {
  server: Host
  session: Session
  envFile: string
  env: Picked<(typeof boxNames)[number] | (typeof keyNames)[number] | 'EVIDENCE_KEY'>
  wish: Wish
  started: Date
  /** Accept a server whose disk is not encrypted. */
  openDisk: boolean
  /** Holds the locks while the work runs. */
  holding: (work: () => Promise<void>) => Promise<void>
  /** Tells what came back, as soon as the site answers: the rest can still fail. */
  tell: (record: DrillRecord) => void
}

/**
 * From an empty server, the operator's secrets and the Storage Box to a site that answers. The other scripts run as
 * programs, with their own locks. Cut short at any moment, the same call goes on where it stopped.
 * @throws Fail `refused` when the disk is not encrypted, or the server has a database already
 */
export async function recoverEverything(all: Disaster): Promise<void> {
  const { server, session, envFile, env, wish, started } = all
  const [box, ownWay] = [serverBox(env), ownBox(envFile, env)]
  const run = (name: string, ...args: string[]) =>
    session.step([name, ...args].join(' '), () => program(session, envFile, name, args))
  await refuseOpenDisk(server, session, all.openDisk)
  await refuseDatabase(server)

  await run('bootstrap', '--install')
  await run('deploy', '--prepare')
  if (session.dryRun)
    return session.wouldRun(
      server.name,
      'bring back certificates, evidence and the database; deploy; back up',
    )
  await all.holding(async () => {
    await restoreState(server, session, ownWay, envFile, env)
    await fetchEvidence(server, session, box)
  })
  const signing = { envFile, key: env.EVIDENCE_KEY }
  const record = await evidenced(server, session, 'disaster_recovery', signing, started, async (found) => {
    await all.holding(async () => {
      const target = await restoreCluster(server, session, box, wish)
      found.inputs = inputsOf({ copy: fetched, target })
      const change = await newestChange(server)
      found.rpo_seconds = change ? Math.round((started.getTime() - change.getTime()) / 1000) : null
      found.checks = await checkContent(liveCluster(server), target, new Date())
    })
    await run('deploy')
  })
  // --- from here on the site answers ---
  if (record) all.tell(record)
  const { backups } = await holdings(server, session, own)
  await session.step('fetch the rest of the history', () => fetchAll(server, session, box, own, backups))
  await endReturn(server)
  await run('backup')
}
