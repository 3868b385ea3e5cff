import { readFileSync } from 'node:fs'
import { type Picked, pathIn } from './env.ts'
import { Fail } from './fail.ts'
import type { ServerFile } from './files.ts'
import type { Name } from './names.ts'
import { paths, uids } from './paths.ts'

const dir = `${paths.env}/backup`

/** Where a backup's keys lie on the server. Scripts that run there use these, whoever starts them. */
export const serverBackup = {
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
  'STORAGEBOX_USER',
  'STORAGEBOX_HOST',
  'STORAGEBOX_PORT',
  'STORAGEBOX_DIR',
  'STORAGEBOX_SSH_KEY',
  'STORAGEBOX_KNOWN_HOSTS',
] as const satisfies readonly Name[]

type BackupEnv = Picked<(typeof backupNames)[number]>

/** The public keys that a backup is encrypted to, as they lie on the server. None: the passphrase file is used. */
export function recipients(env: Pick<BackupEnv, 'BACKUP_GPG_RECIPIENTS'>): string[] {
  return listed(env.BACKUP_GPG_RECIPIENTS).map((_, i) => serverBackup.recipient(i))
}

/**
 * The files that bootstrap puts on the server for its backups: the server's own `.env`, the public keys (or the passphrase),
 * and the Storage Box's sub-account. Nothing that could delete there, nothing that could open a backup made to a public key.
 * @throws Fail `usage` when a file that `.env` names cannot be read, is a private key, or nothing says how to encrypt
 */
export function backupFiles(envFile: string, env: BackupEnv): ServerFile[] {
  const { BACKUP_GPG_RECIPIENTS: keys, BACKUP_GPG_PASSPHRASE: passphrase } = env
  if (!keys && !passphrase) {
    throw new Fail(
      'usage',
      `${envFile}:\n  BACKUP_GPG_RECIPIENTS is missing: paths of OpenPGP public key files`,
    )
  }
  const file = (path: string, content: string) => ({ path, content, owner: uids.root, mode: '0400' })
  const opened = (name: Name, path: string) => readText(envFile, name, path)
  return [
    file(`${paths.env}/backup.env`, serverEnv(env)),
    ...listed(keys).map((path, i) => file(serverBackup.recipient(i), publicKey(envFile, path))),
    ...(!keys && passphrase ? [file(serverBackup.passphrase, `${passphrase}\n`)] : []),
    file(serverBackup.boxKey, opened('STORAGEBOX_SSH_KEY', env.STORAGEBOX_SSH_KEY)),
    file(serverBackup.boxKnownHosts, opened('STORAGEBOX_KNOWN_HOSTS', env.STORAGEBOX_KNOWN_HOSTS)),
  ]
}

function serverEnv(env: BackupEnv): string {
  const values = {
    SERVER_HOST: 'local',
    BACKUP_GPG_RECIPIENTS: recipients(env).join(','),
    BACKUP_RETENTION_DAYS: env.BACKUP_RETENTION_DAYS,
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

function listed(value: string | undefined): string[] {
  return (value ?? '').split(',').filter((path) => path !== '')
}

function publicKey(envFile: string, path: string): string {
  const text = readText(envFile, 'BACKUP_GPG_RECIPIENTS', path)
  if (text.includes('BEGIN PGP PUBLIC KEY BLOCK') && !text.includes('PRIVATE KEY')) return text
  const export_ = 'gpg --armor --export KEY'
  throw new Fail(
    'usage',
    `${envFile}:\n  BACKUP_GPG_RECIPIENTS: ${path} is not an armored public key: ${export_}`,
  )
}

function readText(envFile: string, name: Name, path: string): string {
  try {
    return readFileSync(pathIn(envFile, path), 'utf8')
  } catch {
    throw new Fail('usage', `${envFile}:\n  ${name} names ${pathIn(envFile, path)}, which cannot be read`)
  }
}
