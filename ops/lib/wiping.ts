import { packagesScript, runInside } from './chroot.ts'
import { hostKeys, identifiers, makeBootable, putSystemFiles, settleSystem } from './configuring.ts'
import type { Custodian } from './custodian.ts'
import { type Picked, pathIn } from './env.ts'
import { readHeader } from './header.ts'
import { backUpHeader } from './header-backup.ts'
import type { HeaderBackupEnv } from './header-manifest.ts'
import type { Host } from './host.ts'
import { type Layout, makePartitions, newRoot, type Stage } from './layout.ts'
import { checkHeader, format, giveSlots } from './luks-format.ts'
import { makeFileSystems, mark, openRoot, unpack } from './new-root.ts'
import { configurationOf, type System, systemFiles } from './new-system.ts'
import { checkOffline, searchPassphrases } from './offline-check.ts'
import { pinHostKey } from './operator-keys.ts'
import type { Session } from './session.ts'
import { sh } from './sh.ts'
import type { Cost } from './slots.ts'
import type { HostEnv } from './ssh.ts'

/** Runs a phase and keeps how long it took. */
export type Timed = <T>(name: string, work: () => Promise<T>) => Promise<T>

/** What the phases in the rescue system need to know. */
export interface Provisioning {
  host: Host
  here: Host
  session: Session
  timed: Timed
  envFile: string
  env: HostEnv & HeaderBackupEnv & Picked<'UNLOCK_PORT' | 'UNLOCK_KNOWN_HOSTS'>
  layout: Layout
  custodians: readonly Custodian[]
  passphrases: readonly string[]
  cost: Cost
  system: Omit<System, 'luks' | 'boot' | 'kept'>
}

/**
 * From a disk that may be lost to an unpacked system on an encrypted one, each phase only where it is not done.
 * @param bytes of the disk
 * @returns the phases that are done in the new system
 */
export async function wipe(
  to: Provisioning,
  stage: Stage,
  bytes: number,
  archive: string,
): Promise<string[]> {
  const { host, session, timed, layout, custodians, passphrases, cost } = to
  const [first = ''] = passphrases
  if (stage === 'blank') await timed('partition', () => makePartitions(host, session, layout, bytes))
  if (stage !== 'formatted') await timed('format', () => format(host, session, layout.luks, first, cost))
  await timed('key slots', () => giveSlots(host, session, layout.luks, custodians, passphrases, cost))
  const done = await timed('open', () => openRoot(host, session, layout, first))
  if (done.includes('installed')) return done
  await timed('file systems', () => makeFileSystems(host, session, layout))
  await timed('install', () => unpack(host, session, archive))
  await mark(host, session, 'installed')
  return ['begun', 'installed']
}

/**
 * From an unpacked system to one that can be started: packages, configuration, boot loader, both judged offline, and the
 * header backed up. Pins the new host keys on this machine.
 * @param done the phases that are done
 */
export async function makeReady(to: Provisioning, done: readonly string[]): Promise<void> {
  const { host, here, session, timed, envFile, env, layout, custodians, passphrases, cost } = to
  const ids = session.dryRun ? { luks: 'UUID', boot: 'UUID' } : await identifiers(host, layout)
  const files = systemFiles({ ...to.system, ...ids, kept: await keptFstab(to, done) })
  const wanted = configurationOf(files)
  if (!isNewest(done, 'configured', wanted)) {
    await timed('configure', async () => {
      await putSystemFiles(host, session, files)
      await runInside(host, session, packagesScript, { timeout: 3600 })
      // The packages bring configuration of their own.
      await putSystemFiles(host, session, files)
      await settleSystem(host, session, done.includes('preserved') ? to.system.keys : undefined)
      await mark(host, session, `configured:${wanted}`)
    })
  }
  if (!isNewest(done, 'configured', wanted) || !isNewest(done, 'bootable', wanted)) {
    await timed('boot loader', async () => {
      await makeBootable(host, session, layout)
      await mark(host, session, `bootable:${wanted}`)
    })
  }
  await timed('verify offline', async () => {
    await checkOffline(host, session, ids.luks, custodians)
    if (!session.dryRun) checkHeader(await readHeader(host, layout.luks), custodians, cost)
    await searchPassphrases(host, session, passphrases)
  })
  await timed('pin the host keys', () => pinKeys(to))
  if (done.some((phase) => phase.startsWith('header:'))) return
  await timed('header backup', async () => {
    const { label } = await backUpHeader(host, here, session, envFile, env, layout.luks)
    await mark(host, session, `header:${label}`)
  })
}

/** The fstab of a system that stays; undefined for a new one. Ours of an earlier call goes through unchanged. */
async function keptFstab(
  { host, session }: Provisioning,
  done: readonly string[],
): Promise<string | undefined> {
  if (!done.includes('preserved')) return undefined
  if (session.dryRun) return ''
  return host.read(
    sh`grep -vE '^[^#[:space:]]+[[:space:]]+/(boot)?[[:space:]]' ${`${newRoot}/etc/fstab`} || true`,
  )
}

/** Whether the last of the marks of a phase is for what is wanted now. */
function isNewest(done: readonly string[], phase: string, wanted: string): boolean {
  return done.findLast((one) => one.startsWith(`${phase}:`)) === `${phase}:${wanted}`
}

async function pinKeys({ host, session, envFile, env }: Provisioning): Promise<void> {
  const keys = await hostKeys(host, session)
  const pin = (file: string, port: string, key: string) => {
    if (session.dryRun)
      return session.wouldRun('operator', `pin the new host key in ${pathIn(envFile, file)}`)
    if (pinHostKey(envFile, file, env.SERVER_HOST, port, key))
      session.say(`  ${pathIn(envFile, file)}: the old key of ${env.SERVER_HOST} is replaced`)
  }
  pin(env.UNLOCK_KNOWN_HOSTS ?? '', env.UNLOCK_PORT, keys.prompt)
  pin(env.SERVER_KNOWN_HOSTS ?? '', env.SERVER_SSH_PORT, keys.sshd)
}
