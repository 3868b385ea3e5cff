import { encryptedDevice } from './header.ts'
import { backUpHeader } from './header-backup.ts'
import { phaseLine, phasesFile, phasesIn } from './new-root.ts'
import { sh } from './sh.ts'
import type { Provisioning } from './wiping.ts'

/** Backs the header up from the running system, where an earlier call was cut short before it could. */
export async function backUpIfMissing(
  to: Pick<Provisioning, 'host' | 'here' | 'session' | 'timed' | 'envFile' | 'env'>,
): Promise<void> {
  const { host, here, session, timed, envFile, env } = to
  const done = phasesIn(await host.read(sh`cat ${phasesFile} 2> /dev/null || true`))
  if (done.some((phase) => phase.startsWith('header:'))) return
  await timed('header backup', async () => {
    const device = await encryptedDevice(host, session)
    const { label } = await backUpHeader(host, here, session, envFile, env, device)
    await host.run(sh`echo ${phaseLine(`header:${label}`)} >> ${phasesFile}; sync -f ${phasesFile}`)
  })
}
