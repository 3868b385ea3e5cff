import type { Custodian } from './custodian.ts'
import { keyOf } from './custodian-key.ts'
import { type Picked, pathIn } from './env.ts'
import { Fail } from './fail.ts'
import { type Host, serverOf } from './host.ts'
import { phaseLine, phasesFile, phasesIn } from './new-root.ts'
import { leave } from './rescue-host.ts'
import type { Session } from './session.ts'
import { sh } from './sh.ts'
import type { HostEnv } from './ssh.ts'
import { atPrompt, checkRoot, type Prompt, promptAt, unlock } from './unlocking.ts'
import { started } from './waiting-host.ts'
import type { Timed } from './wiping.ts'

export type UnlockEnv = HostEnv &
  Picked<'CUSTODIANS' | 'UNLOCK_PORT' | 'UNLOCK_KNOWN_HOSTS' | 'UNLOCK_SSH_KEY'>

/** Seconds that a start may take: from the power switch to the prompt, and from the passphrase to sshd. */
const patience = 600

/** The prompt as a custodian reaches it. */
function promptOf(envFile: string, env: UnlockEnv, key: string): Prompt {
  const knownHosts = pathIn(envFile, env.UNLOCK_KNOWN_HOSTS ?? '')
  return promptAt(env.SERVER_HOST, Number(env.UNLOCK_PORT), knownHosts, key)
}

/**
 * Waits for the prompt, unlocks as one custodian, and proves that what starts is the encrypted disk. Writes it down there.
 * @throws Fail `timedOut` when the prompt or the system never comes; else as `unlock`
 */
export async function unlockAs(
  envFile: string,
  env: UnlockEnv,
  session: Session,
  { custodian, key, passphrase }: { custodian: Custodian; key: string; passphrase: string },
): Promise<Host> {
  const prompt = promptOf(envFile, env, key)
  const console = `Look at the server's console; runbooks/unlock-after-reboot.md`
  await session.step('wait for the unlock prompt', async () => {
    if (await atPrompt(session, prompt, patience)) return
    throw new Fail(
      'timedOut',
      `${prompt.name} did not come to its unlock prompt (port ${prompt.port}) in ${patience} s. ${console}`,
    )
  })
  await session.step(`unlock as ${custodian.name}`, () => unlock(session, prompt, passphrase))
  return session.step('wait for the system', async () => {
    if (!(await started(env.SERVER_HOST, 22, patience)))
      throw new Fail(
        'timedOut',
        `${prompt.name} was unlocked, and its sshd does not answer after ${patience} s. ${console}`,
      )
    const server = await system(envFile, env, session)
    await server.run(
      sh`echo ${phaseLine(`unlocked:${custodian.name}`)} >> ${phasesFile}; sync -f ${phasesFile}`,
    )
    return server
  })
}

/** The running system, once it lets us in; its root must be the encrypted disk. */
export async function system(envFile: string, env: UnlockEnv, session: Session): Promise<Host> {
  const server = serverOf(envFile, env, session)
  await checkRoot(server)
  return server
}

/** Which custodians have unlocked this system while it was tested. */
export async function testedBy(server: Host): Promise<string[]> {
  const done = phasesIn(await server.read(sh`cat ${phasesFile} 2> /dev/null || true`))
  return done.filter((phase) => phase.startsWith('unlocked:')).map((phase) => phase.slice(9))
}

/** Restarts the running system in good order. */
export async function restart(server: Host, session: Session): Promise<void> {
  await server.run(sh`nohup sh -c 'sleep 1; systemctl reboot' > /dev/null 2>&1 < /dev/null &`)
  if (session.dryRun) return
  await leave(server)
}

export interface Tests {
  envFile: string
  env: UnlockEnv
  session: Session
  timed: Timed
  custodians: readonly Custodian[]
  askPassphrases: () => Promise<string[]>
}

/**
 * Lets each custodian whose key is here unlock the server once, each after a start of its own.
 * @param sure asked before a system that ran already is restarted
 * @param running the system, if it runs already; else it comes to its prompt
 * @throws Fail `unverified` when no custodian's key is here
 */
export async function testCustodians(
  { envFile, env, session, timed, custodians, askPassphrases }: Tests,
  sure: (text: string) => Promise<void>,
  running: Host | undefined,
): Promise<Host> {
  let server = running
  const able: { custodian: Custodian; key: string; i: number }[] = []
  for (const [i, custodian] of custodians.entries()) {
    const key = await keyOf(envFile, env, custodian)
    if (key) able.push({ custodian, key, i })
    else
      session.say(
        `  the private key of ${custodian.name} is not here: they unlock with ops/unlock.ts themselves`,
      )
  }
  for (;;) {
    const tested = server ? await testedBy(server) : []
    const next = able.find(({ custodian }) => !tested.includes(custodian.name))
    if (!next) break
    const { custodian, key, i } = next
    const passphrase = (await askPassphrases())[i] ?? ''
    // Whoever waited for a new system knows that it restarts; one that served already is another matter.
    if (server && server === running) await sure(`${env.SERVER_HOST} restarts for its unlock tests.`)
    if (server) await restart(server, session)
    server = await timed(`unlock test: ${custodian.name}`, () =>
      unlockAs(envFile, env, session, { custodian, key, passphrase }),
    )
  }
  if (server) return server
  throw new Fail(
    'unverified',
    'no private key of a custodian is here: let one unlock the server with ops/unlock.ts, then run this again',
  )
}
