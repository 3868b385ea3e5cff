import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { $ } from 'zx'
import { recipientFiles } from './backup-files.ts'
import { type Picked, pathIn } from './env.ts'
import { attempt } from './exclusive.ts'
import { Fail } from './fail.ts'
import { fingerprintOf, isFingerprint } from './fingerprint.ts'
import type { Host } from './host.ts'
import { stanza } from './pgbackrest.ts'
import { privateDir } from './private-dir.ts'
import { pull } from './pull.ts'
import { encryptTo } from './recipients.ts'
import type { Session } from './session.ts'
import { lines, sh } from './sh.ts'
import { type Box, boxShell } from './storagebox.ts'

export const custodyFile = 'pgbackrest-passphrase.gpg'
const fingerprintFile = 'pgbackrest-passphrase.fingerprint'

/** Makes an ssh key pair where a setting names a file that is not there; true when it made one. */
export async function makeKey(
  envFile: string,
  path: string,
  comment: string,
  session: Session,
): Promise<boolean> {
  const file = pathIn(envFile, path)
  if (existsSync(file)) return false
  if (session.dryRun) {
    session.wouldRun('operator', `ssh-keygen -t ed25519 -N '' -C ${comment} -f ${path}`)
    return true
  }
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  await session.command(() => $`ssh-keygen -q -t ed25519 -N '' -C ${comment} -f ${file}`)
  return true
}

/**
 * Proves that the box lets this key do what backups need, in a folder of its own that is gone afterwards.
 * @throws Fail `refused` naming what the box does not allow; `noConnection` also when it does not know the key
 */
export async function probeBox(here: Host, session: Session, box: Box): Promise<void> {
  const dir = `${box.dir}/probe-${Date.now()}`
  const script = lines(
    boxShell(box),
    sh`file=$(mktemp)
trap 'rm -f "$file"' EXIT
echo probe > "$file"
missing=''
try() { name=$1; shift; "$@" > /dev/null 2>&1 || missing="$missing $name"; }
box mkdir -p ${dir}
try ls box ls ${dir}
try rsync rsync --times -e ${box.ssh.slice(0, -1).join(' ')} "$file" ${`${box.account}:${dir}/probe`}
for command in sha256sum cat stat; do try "$command" box "$command" ${`${dir}/probe`}; done
try df box df -P ${dir}
try mv box mv ${`${dir}/probe`} ${`${dir}/moved`}
try rm box rm -r ${dir}
if [ -n "$missing" ]; then echo "the Storage Box does not allow:$missing" >&2; exit 76; fi`,
  )
  await attempt(here, session, script)
}

/**
 * Puts the repository's passphrase on the box, encrypted to every custodian: any one of their keys brings it back. Beside it
 * lies its fingerprint, for nobody here can open the copy to see whether it is the same.
 * @throws Fail `usage` when there are no recipients; `refused` when the backups there were made with another passphrase
 */
export async function depositPassphrase(
  here: Host,
  session: Session,
  box: Box,
  envFile: string,
  env: Picked<'BACKUP_GPG_RECIPIENTS' | 'BACKUP_CIPHER_PASS'>,
): Promise<void> {
  const keys = recipientFiles(env).map((path) => pathIn(envFile, path))
  if (keys.length === 0)
    throw new Fail(
      'usage',
      `${envFile}:\n  BACKUP_GPG_RECIPIENTS is missing: paths of OpenPGP public key files`,
    )
  const held = `${box.dir}/custody/${fingerprintFile}`
  const info = `${box.dir}/repository/backup/${stanza}/backup.info`
  const ask = sh`if has ${info} && has ${held}; then box cat ${held}; fi`
  const there = await attempt(here, session, lines(boxShell(box), pull(box), ask), {
    changes: false,
  })
  if (there !== '' && !isFingerprint(there, env.BACKUP_CIPHER_PASS))
    throw new Fail(
      'refused',
      `the backups on the Storage Box were made with another passphrase than BACKUP_CIPHER_PASS in ${envFile}. Put that one back: either custodian can open ${custodyFile} on the box. For a new one give the backups a STORAGEBOX_DIR of their own`,
    )
  const file = join(privateDir(session), custodyFile)
  if (!session.dryRun) {
    const gpg = encryptTo(privateDir(session), keys)
    await session.command(() => $({ input: `${env.BACKUP_CIPHER_PASS}\n` })`${gpg} > ${file}`)
  } else writeFileSync(file, '')
  const fingerprint = join(privateDir(session), fingerprintFile)
  writeFileSync(fingerprint, fingerprintOf(env.BACKUP_CIPHER_PASS))
  const to = `${box.account}:${box.dir}/custody/`
  const script = sh`box mkdir -p ${`${box.dir}/custody`}
rsync --times -e ${box.ssh.slice(0, -1).join(' ')} ${[file, fingerprint]} ${to}`
  await attempt(here, session, lines(boxShell(box), script))
}

/** What each custodian has to keep, on paper or in a safe of their own. */
export function custodyText(box: Box): string {
  return `Custody. Each of two people keeps, apart from this machine and from each other:
  1. a private key of BACKUP_GPG_RECIPIENTS and its passphrase: it opens the dumps, the files, and 2.
  2. nothing else by heart: the repository's passphrase (BACKUP_CIPHER_PASS) lies on the box, encrypted to both keys.
     Back to the clear: ssh -p ${box.port} ${box.account} cat ${box.dir}/custody/${custodyFile} | gpg --decrypt
  3. the login of Hetzner's console, for the box's snapshots.
Prove it once a quarter: tsx ops/backup.ts drill, and tsx ops/restore-dump.ts with either key alone.`
}
