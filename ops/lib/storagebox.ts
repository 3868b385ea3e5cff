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
  return { host: env.STORAGEBOX_HOST, account, dir: env.STORAGEBOX_DIR, ssh }
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

/** Every name in the backups' folder, one a line (made first, if told so). */
export function boxList(box: Box, make = false): Script {
  return lines(boxShell(box), make ? sh`box mkdir -p ${box.dir}` : undefined, sh`box ls ${box.dir}`)
}

/**
 * Copies one finished backup to the box: under a name that does not count, compared by SHA-256 over there, then renamed.
 * What an interrupted run left is taken up where it stopped; when it does not compare equal it is sent anew.
 * @param there whether the box has it under its final name already; then it is only compared
 */
export function boxShip(box: Box, dumps: string, name: string, there: boolean): Script {
  const final = `${box.dir}/${name}`
  const part = `${final}.part`
  const at = there ? final : part
  const files = ['database.dump.gpg', 'globals.sql.gpg', 'manifest.json']
  const send = sh`box mkdir -p ${part}
send() { rsync --times --partial "$@" -e ${box.ssh.slice(0, -1).join(' ')} ${files} ${`${box.account}:${part}/`} || { box ls ${box.dir} > /dev/null; exit 1; }; }
send`
  const compare = sh`cd ${`${dumps}/${name}`}
mine=$(sha256sum ${files} | cut -d " " -f 1)
theirs() { box sha256sum ${files.map((file) => `${at}/${file}`)} | cut -d " " -f 1; }
differ() { echo ${`${name} on the Storage Box is not what was sent`} >&2; exit ${codes.unverified}; }`
  const settle = there
    ? sh`got=$(theirs)
[ "$got" = "$mine" ] || differ`
    : sh`got=$(theirs)
if [ "$got" != "$mine" ]; then send --checksum --no-partial; got=$(theirs); fi
[ "$got" = "$mine" ] || differ
box mv ${part} ${final}`
  return lines(boxShell(box), compare, there ? undefined : send, settle)
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

/** The SHA-256 of every file of a backup, on both sides: `server|box<TAB>file<TAB>hash`. */
export function boxHashes(box: Box, dumps: string, name: string): Script {
  const files = ['database.dump.gpg', 'globals.sql.gpg', 'manifest.json']
  return lines(
    boxShell(box),
    sh`show() { awk -v side="$1" -v OFS="\\t" '{ sub(".*/", "", $2); print side, $2, $1 }'; }
(cd ${`${dumps}/${name}`} && sha256sum ${files}) | show server
box sha256sum ${files.map((file) => `${box.dir}/${name}/${file}`)} | show box`,
  )
}
