import { type Picked, textIn } from './env.ts'
import { Fail } from './fail.ts'
import type { ServerFile } from './files.ts'
import type { Name } from './names.ts'
import { paths, uids } from './paths.ts'

const dir = `${paths.env}/backup`

/** Where a backup's keys lie on the server. Scripts that run there use these, whoever starts them. */
export const serverBackup = {
  dir,
  boxKey: `${dir}/storagebox_key`,
  boxKnownHosts: `${dir}/storagebox_known_hosts`,
  passphrase: `${dir}/passphrase`,
  recipient: (i: number) => `${dir}/recipient-${i + 1}.asc`,
} as const

/** The names that the server's own backup needs. */
export const backupNames = [
  'BACKUP_GPG_RECIPIENTS',
  'BACKUP_GPG_PASSPHRASE',
  'BACKUP_RETENTION_DAYS',
  'ALERT_URL',
  'STORAGEBOX_USER',
  'STORAGEBOX_HOST',
  'STORAGEBOX_PORT',
  'STORAGEBOX_DIR',
  'STORAGEBOX_SSH_KEY',
  'STORAGEBOX_KNOWN_HOSTS',
] as const satisfies readonly Name[]

type BackupEnv = Picked<(typeof backupNames)[number]>

/** The public key files of a `.env`, as it names them. */
export function recipientFiles(env: Pick<BackupEnv, 'BACKUP_GPG_RECIPIENTS'>): string[] {
  return (env.BACKUP_GPG_RECIPIENTS ?? '').split(',').filter((path) => path !== '')
}

/** The public keys that a backup is encrypted to, as they lie on the server. None: the passphrase file is used. */
export function recipients(env: Pick<BackupEnv, 'BACKUP_GPG_RECIPIENTS'>): string[] {
  return recipientFiles(env).map((_, i) => serverBackup.recipient(i))
}

/**
 * The files that bootstrap puts on the server for its backups: the server's own `.env`, the public keys (or the passphrase),
 * and the Storage Box's sub-account. Nothing that could delete there, nothing that could open a backup made to a public key.
 * @throws Fail `usage` when a file that `.env` names cannot be read, is a private key, or nothing says how to encrypt
 */
export function backupFiles(envFile: string, env: BackupEnv): ServerFile[] {
  const passphrase = env.BACKUP_GPG_PASSPHRASE
  const keys = recipientFiles(env)
  if (keys.length === 0 && !passphrase) {
    throw new Fail(
      'usage',
      `${envFile}:\n  BACKUP_GPG_RECIPIENTS is missing: paths of OpenPGP public key files`,
    )
  }
  const file = (path: string, content: string) => ({ path, content, owner: uids.root, mode: '0400' })
  const opened = (name: Name, path: string) => textIn(envFile, name, path)
  return [
    file(`${paths.env}/backup.env`, serverEnv(env)),
    ...keys.map((path, i) => file(serverBackup.recipient(i), publicKey(envFile, path))),
    ...(keys.length === 0 && passphrase ? [file(serverBackup.passphrase, `${passphrase}\n`)] : []),
    file(serverBackup.boxKey, opened('STORAGEBOX_SSH_KEY', env.STORAGEBOX_SSH_KEY)),
    file(serverBackup.boxKnownHosts, opened('STORAGEBOX_KNOWN_HOSTS', env.STORAGEBOX_KNOWN_HOSTS)),
  ]
}

function serverEnv(env: BackupEnv): string {
  const values = {
    SERVER_HOST: 'local',
    BACKUP_GPG_RECIPIENTS: recipients(env).join(','),
    BACKUP_RETENTION_DAYS: env.BACKUP_RETENTION_DAYS,
    ALERT_URL: env.ALERT_URL ?? '',
    STORAGEBOX_USER: env.STORAGEBOX_USER,
    STORAGEBOX_HOST: env.STORAGEBOX_HOST,
    STORAGEBOX_PORT: env.STORAGEBOX_PORT,
    STORAGEBOX_DIR: env.STORAGEBOX_DIR,
    STORAGEBOX_SSH_KEY: serverBackup.boxKey,
    STORAGEBOX_KNOWN_HOSTS: serverBackup.boxKnownHosts,
  }
  const given = Object.entries(values).filter(([, value]) => value !== '')
  return given.map(([name, value]) => `${name}=${value}\n`).join('')
}

function publicKey(envFile: string, path: string): string {
  const text = textIn(envFile, 'BACKUP_GPG_RECIPIENTS', path)
  if (text.includes('BEGIN PGP PUBLIC KEY BLOCK') && !text.includes('PRIVATE KEY')) return text
  const export_ = 'gpg --armor --export KEY'
  throw new Fail(
    'usage',
    `${envFile}:\n  BACKUP_GPG_RECIPIENTS: ${path} is not an armored public key: ${export_}`,
  )
}
