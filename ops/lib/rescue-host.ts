import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { $ } from 'zx'
import { fileIn } from './env.ts'
import { Fail, outcomeOf } from './fail.ts'
import { Host } from './host.ts'
import { rescueName } from './interlocks.ts'
import { privateDir } from './private-dir.ts'
import type { Session } from './session.ts'
import { sh } from './sh.ts'
import { type HostEnv, pinned, sshFlags } from './ssh.ts'
import { banner } from './waiting-host.ts'

/**
 * Where a server stands: at the prompt of its encrypted disk, started from it, in the rescue system, in some other system
 * that we may log in to, or silent (off, starting, or a system that does not know our key).
 */
export type Place = 'prompt' | 'encrypted' | 'rescue' | 'other' | 'silent'

/**
 * ssh to the rescue system, which makes a new host key each time it starts: the first one that answers is taken, for this
 * run alone. Its fingerprint is shown, to be compared at the console.
 * AES in counter mode: three times as fast as the default where the processor has no AES instructions.
 */
function rescueSsh(envFile: string, env: HostEnv, dir: string, shared: boolean): string[] {
  const key = env.SERVER_SSH_KEY
    ? ['-i', fileIn(envFile, 'SERVER_SSH_KEY', env.SERVER_SSH_KEY), '-o', 'IdentitiesOnly=yes']
    : []
  const flags = sshFlags({
    ...pinned(join(dir, 'known_hosts')),
    StrictHostKeyChecking: 'accept-new',
    HashKnownHosts: 'no',
    Ciphers: '^aes128-ctr,aes256-ctr',
    ...(shared
      ? { ControlMaster: 'auto', ControlPath: `${dir}/%C`, ControlPersist: '60' }
      : { ControlPath: 'none' }),
  })
  return ['ssh', ...key, ...flags, `root@${env.SERVER_HOST}`]
}

/** Looks where a server stands; changes nothing. One that is silent may be starting: it gets some seconds. */
export async function placeOf(
  envFile: string,
  env: HostEnv & { UNLOCK_PORT: string },
  session: Session,
  seconds: number,
): Promise<Place> {
  const end = performance.now() + seconds * 1000
  for (;;) {
    const place = await placeNow(envFile, env, session)
    if (place !== 'silent' || performance.now() >= end) return place
    await sleep(2000)
  }
}

async function placeNow(
  envFile: string,
  env: HostEnv & { UNLOCK_PORT: string },
  session: Session,
): Promise<Place> {
  if (/^SSH-2\.0-dropbear/i.test((await banner(env.SERVER_HOST, Number(env.UNLOCK_PORT), 5)) ?? ''))
    return 'prompt'
  if (!(await banner(env.SERVER_HOST, 22, 5))) return 'silent'
  return lookInside(envFile, env, session, privateDir(session, '/tmp'))
}

async function lookInside(envFile: string, env: HostEnv, session: Session, dir: string): Promise<Place> {
  rmSync(join(dir, 'known_hosts'), { force: true })
  const host = new Host(env.SERVER_HOST, rescueSsh(envFile, env, dir, false), session)
  try {
    const text = await host.read(sh`hostname; findmnt -nro SOURCE / | head -n 1`, { timeout: 30 })
    const [name, root] = text.split('\n')
    if (root === '/dev/mapper/cryptroot') return 'encrypted'
    return name === rescueName ? 'rescue' : 'other'
  } catch (error) {
    if (['noConnection', 'timedOut'].includes(outcomeOf(error))) return 'silent'
    throw error
  }
}

/**
 * Waits until the rescue system lets us in.
 * @param seconds how long
 * @throws Fail `noConnection` when it never does
 */
export async function rescueHost(
  envFile: string,
  env: HostEnv,
  session: Session,
  seconds: number,
): Promise<Host> {
  const end = performance.now() + seconds * 1000
  const name = `rescue system of ${env.SERVER_HOST}`
  const dir = privateDir(session, '/tmp')
  const host = new Host(name, rescueSsh(envFile, env, dir, true), session)
  // It need not be there.
  if (session.dryRun) return host
  for (;;) {
    const answers = await banner(env.SERVER_HOST, 22, 5)
    if (answers && (await lookInside(envFile, env, session, dir)) === 'rescue') break
    if (performance.now() >= end)
      throw new Fail(
        'noConnection',
        `the rescue system of ${env.SERVER_HOST} did not let us in for ${seconds} s: ${answers ? 'another system answers, or our key is not known there' : 'nobody answers on port 22'}. Check in the console that rescue mode is on with your ssh key, and that the firewall lets port 22 through; then run this again`,
      )
    await sleep(2000)
  }
  session.atEnd(() => leave(host))
  session.say(
    `  the rescue system's host key, to compare at its console: ${await taken(join(dir, 'known_hosts'))}`,
  )
  return host
}

/** The fingerprint of the host key that our ssh took. What the far end says of itself proves nothing. */
export async function taken(knownHosts: string): Promise<string> {
  const { stdout } = await $({ quiet: true })`ssh-keygen -lf ${knownHosts}`
  const [, fingerprint = '', , type = ''] = stdout.trim().split(/\s+/)
  return `${fingerprint} ${type}`
}

/** Ends the shared connection to a host that is about to restart, or that we have done with. */
export async function leave(host: Host): Promise<void> {
  await $({ nothrow: true, quiet: true, timeout: 5000 })`${host.sshArgv} -O exit`
}
