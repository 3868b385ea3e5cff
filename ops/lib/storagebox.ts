import { serverBackup } from './backup-files.ts'
import { fileIn, type Picked } from './env.ts'
import { codes } from './exclusive.ts'
import { Fail } from './fail.ts'
import { lines, type Script, sh } from './sh.ts'
import { pinned, sshFlags } from './ssh.ts'

export const boxNames = [
  'STORAGEBOX_USER',
  'STORAGEBOX_HOST',
  'STORAGEBOX_PORT',
  'STORAGEBOX_DIR',
  'STORAGEBOX_SSH_KEY',
  'STORAGEBOX_KNOWN_HOSTS',
] as const
type BoxEnv = Picked<(typeof boxNames)[number]>

/** A way to the Storage Box: an account of it, and the machine's own copies of the key and of the pinned host key. */
export interface Box {
  host: string
  port: string
  /** user@host */
  account: string
  /** The folder of the backups, relative to the account's home. */
  dir: string
  /** argv of ssh up to the account. */
  ssh: readonly string[]
}

/** The box as the server reaches it, whoever starts the script: with the files that bootstrap put there. */
export function serverBox(env: BoxEnv): Box {
  return boxOf(env, env.STORAGEBOX_USER, serverBackup.boxKey, serverBackup.boxKnownHosts)
}

/** The box as the machine with this `.env` reaches it. @throws Fail `usage` when the key or the known_hosts file is not there */
export function ownBox(envFile: string, env: BoxEnv): Box {
  const key = fileIn(envFile, 'STORAGEBOX_SSH_KEY', env.STORAGEBOX_SSH_KEY)
  return boxOf(env, env.STORAGEBOX_USER, key, knownHostsOf(envFile, env))
}

/**
 * The box as its main account, which alone may delete.
 * @param dir the folder of the backups as the main account sees it
 * @throws Fail `usage` when the account is not configured, or a file of it is not there
 */
export function adminBox(
  envFile: string,
  env: BoxEnv & Picked<'STORAGEBOX_ADMIN_USER' | 'STORAGEBOX_ADMIN_SSH_KEY'>,
  dir: string | undefined,
): Box {
  const { STORAGEBOX_ADMIN_USER: user, STORAGEBOX_ADMIN_SSH_KEY: key } = env
  if (!user || !key) {
    const hint = 'are needed to delete on the Storage Box: the main account, only on the operator'
    throw new Fail('usage', `${envFile}:\n  STORAGEBOX_ADMIN_USER and STORAGEBOX_ADMIN_SSH_KEY ${hint}`)
  }
  if (dir !== undefined && !/^[A-Za-z0-9][A-Za-z0-9._/-]*$/.test(dir)) {
    throw new Fail('usage', '--dir is malformed: a relative directory name')
  }
  const file = fileIn(envFile, 'STORAGEBOX_ADMIN_SSH_KEY', key)
  const box = boxOf(env, user, file, knownHostsOf(envFile, env))
  return { ...box, dir: dir ?? box.dir }
}

function knownHostsOf(envFile: string, env: BoxEnv): string {
  return fileIn(envFile, 'STORAGEBOX_KNOWN_HOSTS', env.STORAGEBOX_KNOWN_HOSTS)
}

function boxOf(env: BoxEnv, user: string, key: string, knownHosts: string): Box {
  const flags = sshFlags({ ...pinned(knownHosts), IdentitiesOnly: 'yes' })
  const account = `${user}@${env.STORAGEBOX_HOST}`
  const ssh = ['ssh', '-p', env.STORAGEBOX_PORT, '-i', key, ...flags, account]
  return { host: env.STORAGEBOX_HOST, port: env.STORAGEBOX_PORT, account, dir: env.STORAGEBOX_DIR, ssh }
}

/** A folder below the backups' folder. */
export function boxFolder(box: Box, name: string): Box {
  return { ...box, dir: `${box.dir}/${name}` }
}

/**
 * Defines `box COMMAND…` for a script: one command on the Storage Box, whose restricted shell takes one a call and no quotes.
 * A box that cannot be reached ends the script with its own code.
 */
export function boxShell(box: Box): Script {
  return sh`box() {
  local code=0
  ${box.ssh} "$@" < /dev/null || code=$?
  if [ "$code" -eq 255 ]; then echo "the Storage Box cannot be reached, or refuses the key" >&2; exit ${codes.noConnection}; fi
  return "$code"
}`
}

/** Every name in the backups' folder, one a line; none when it is not there, or it is made first, if told so. */
export function boxList(box: Box, make = false): Script {
  const list = make
    ? sh`box mkdir -p ${box.dir}; box ls ${box.dir}`
    : sh`box ls ${box.dir} 2> /dev/null || { code=$?; if [ "$code" -eq ${codes.noConnection} ]; then exit "$code"; fi; }`
  return lines(boxShell(box), list)
}

/** Removes one backup from the box: first out of the list by renaming, so that half of one never counts. */
export function boxRemove(box: Box, name: string): Script {
  const path = `${box.dir}/${name}`
  if (name.endsWith('.part')) return lines(boxShell(box), sh`box rm -r ${path}`)
  return lines(
    boxShell(box),
    sh`box mv ${path} ${`${path}.part`}
box rm -r ${`${path}.part`}`,
  )
}
