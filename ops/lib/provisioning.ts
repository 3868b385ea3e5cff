import { existsSync } from 'node:fs'
import { isIPv4 } from 'node:net'
import type { Custodian } from './custodian.ts'
import { custodyNames } from './custody-change.ts'
import { readEnv } from './env.ts'
import { attempt } from './exclusive.ts'
import { Fail } from './fail.ts'
import { serverNames } from './hcloud-server.ts'
import { type HeaderBackupEnv, headerBox } from './header-manifest.ts'
import { type Host, hostNames } from './host.ts'
import type { Wish } from './interlocks.ts'
import { isLabel } from './manifest.ts'
import { remoteArchive } from './new-root.ts'
import type { System } from './new-system.ts'
import { checkRecipients } from './recipients.ts'
import type { Session } from './session.ts'
import { boxList } from './storagebox.ts'

const wanted = [
  ...[...hostNames, ...custodyNames, ...serverNames],
  ...(['CUSTODIANS', 'UNLOCK_PORT', 'UNLOCK_KNOWN_HOSTS', 'UNLOCK_SSH_KEY', 'PUBLIC_IPV6'] as const),
] as const

/** What provisioning needs of a `.env`. @throws Fail `usage` when a name is missing that is optional elsewhere */
export function provisioningEnv(envFile: string) {
  const env = readEnv(envFile, wanted)
  const { CUSTODIANS, UNLOCK_KNOWN_HOSTS, SERVER_KNOWN_HOSTS, BACKUP_GPG_RECIPIENTS, ...rest } = env
  const needed = { CUSTODIANS, UNLOCK_KNOWN_HOSTS, SERVER_KNOWN_HOSTS, BACKUP_GPG_RECIPIENTS }
  const missing = Object.entries(needed).filter(([, value]) => !value)
  const problems = missing.map(([name]) => `${name} is missing: see .env.example`)
  if (env.SERVER_HOST === 'local') problems.push(`SERVER_HOST is local: a server cannot encrypt its own disk`)
  if (env.SERVER_USER !== 'root')
    problems.push(`SERVER_USER is ${env.SERVER_USER}: the rescue system knows only root`)
  if (env.SERVER_SSH_PORT !== '22')
    problems.push(`SERVER_SSH_PORT is ${env.SERVER_SSH_PORT}: the rescue system and a new one listen on 22`)
  if (problems.length > 0)
    throw new Fail('usage', `${envFile}:\n${problems.map((text) => `  ${text}`).join('\n')}`)
  return { ...rest, ...(needed as Record<keyof typeof needed, string>) }
}

export type ProvisioningEnv = ReturnType<typeof provisioningEnv>

interface Flags {
  preserve?: boolean | undefined
  'start-over'?: boolean | undefined
  'backup-attested'?: string | undefined
  disk?: string | undefined
  serial?: string | undefined
  size?: string | undefined
  archive?: string | undefined
  hostname: string
  ip?: string | undefined
  gateway?: string | undefined
  console?: string | undefined
}

/** What the flags ask for. @throws Fail `usage` with everything that is missing or malformed */
export function wishOf(flags: Flags, env: { LUKS_MEMORY: string }): Wish & { archive: string } {
  const { disk = '', serial = '', size = '', archive = '', hostname, ip, gateway, console } = flags
  const problems = [
    /^\/dev\/[a-z0-9/_-]+$/i.test(disk) ? '' : '--disk: the whole disk, such as /dev/sda',
    /^[\w.:-]+$/.test(serial) ? '' : '--serial: what lsblk -dno SERIAL says of the disk',
    Number(size) > 0 ? '' : '--size: about how many GB the disk has, such as 40',
    archive === '' && !flags.preserve
      ? '--archive: the root file system that is unpacked on the new disk'
      : '',
    archive !== '' && flags.preserve ? '--archive and --preserve: either' : '',
    flags.preserve && flags['start-over']
      ? '--start-over and --preserve: a system that stays cannot be begun anew'
      : '',
    flags.preserve && !isLabel(flags['backup-attested'] ?? '')
      ? '--preserve needs --backup-attested: the label of a dump that was restored, such as 20261121T000000Z'
      : '',
    archive === '' || remoteArchive(archive) || existsSync(archive)
      ? ''
      : `--archive: ${archive} does not exist`,
    /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(hostname) ? '' : '--hostname: small letters, digits and -',
    [ip, gateway].every((one) => one === undefined) || (isIPv4(ip ?? '') && isIPv4(gateway ?? ''))
      ? ''
      : '--ip and --gateway: two IPv4 addresses, both or neither',
    [undefined, 'tty0', 'ttyS0'].includes(console) ? '' : '--console: tty0 or ttyS0',
  ].filter((problem) => problem !== '')
  if (problems.length > 0) throw new Fail('usage', problems.join('\n'))
  return { disk, serial, size: Number(size), memory: Number(env.LUKS_MEMORY), archive }
}

/** The system that the flags and the `.env` ask for. @param screen whether the machine has one: there a passphrase is asked for */
export function systemOf(
  { hostname, ip, gateway, console }: Flags,
  env: { UNLOCK_PORT: string; PUBLIC_IPV6?: string | undefined },
  custodians: readonly Custodian[],
  keys: readonly string[],
  screen: boolean,
): Omit<System, 'luks' | 'boot' | 'kept'> {
  const ipv6 = env.PUBLIC_IPV6
  const network =
    ip && gateway ? { kind: 'static' as const, address: ip, gateway, ipv6 } : { kind: 'dhcp' as const, ipv6 }
  return {
    hostname,
    network,
    custodians,
    keys,
    unlockPort: env.UNLOCK_PORT,
    console: console ?? (screen ? 'tty0' : 'ttyS0'),
  }
}

/**
 * Proves that the header can be backed up in the end, before anything is written: keys to encrypt to, and a Storage Box that
 * answers.
 * @param here this machine
 */
export async function checkHeaderBackups(
  here: Host,
  session: Session,
  envFile: string,
  env: HeaderBackupEnv,
): Promise<void> {
  await checkRecipients(envFile, env, session)
  await attempt(here, session, boxList(headerBox(envFile, env), true))
}
