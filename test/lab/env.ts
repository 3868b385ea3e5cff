import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { parse } from 'dotenv'
import { ADDRESS } from './keys.ts'
import { labPath } from './shell.ts'

export const DOMAIN = 'everyskill.test'
export const BOX = { main: 'u100001', sub: 'u100001-sub1', directory: 'everyskill' } as const

/** Writes `.lab/.env`, the configuration that points the scripts at the lab. Secrets that it already holds are kept. */
export function writeEnv(buildArgs: Record<string, string>): Record<string, string> {
  const file = labPath('.env')
  const old = existsSync(file) ? parse(readFileSync(file)) : {}
  const secret = (name: string, make: () => string) => ({ [name]: old[name] ?? make() })
  const hex = () => randomBytes(32).toString('hex')
  const base64 = () => randomBytes(32).toString('base64')
  const values = {
    SERVER_HOST: ADDRESS.server,
    SERVER_USER: 'root',
    SERVER_SSH_PORT: '22',
    SERVER_KNOWN_HOSTS: labPath('known_hosts'),
    SERVER_SSH_KEY: labPath('keys', 'operator'),
    APP_DIR: labPath('app'),
    EVERYSKILL_LAB: '1',
    ...secret('HCLOUD_TOKEN', hex),
    HETZNER_API: `https://${ADDRESS.hetzner}/v1`,
    PUBLIC_CA: labPath('pebble-root.pem'),
    DEPLOY_PLATFORM: process.arch === 'arm64' ? 'linux/arm64' : 'linux/amd64',
    ...buildArgs,
    ...secret('NEXT_SERVER_ACTIONS_ENCRYPTION_KEY', base64),
    NEXT_PUBLIC_ROOT_DOMAIN: DOMAIN,
    NEXT_PUBLIC_APP_URL: `https://${DOMAIN}`,
    PUBLIC_IPV4: ADDRESS.server,
    ...secret('HETZNER_DNS_API_TOKEN', hex),
    ACME_EMAIL: `ops@${DOMAIN}`,
    ACME_DIRECTORY: 'https://pebble:14000/dir',
    ACME_PROPAGATION_DELAY: '1s',
    ACME_RESOLVERS: ADDRESS.hetzner,
    TRUSTED_ROOT: labPath('ca.pem'),
    ...secret('DB_PASSWORD', hex),
    ...secret('DB_APP_PASSWORD', hex),
    ...secret('AUTH_SECRET', base64),
    AUTH_GOOGLE_ID: 'lab.apps.googleusercontent.example',
    ...secret('AUTH_GOOGLE_SECRET', hex),
    ...secret('ANTHROPIC_API_KEY', hex),
    R2_ENDPOINT: `https://r2.${DOMAIN}`,
    R2_ACCESS_KEY_ID: 'lab-access-key',
    ...secret('R2_SECRET_ACCESS_KEY', hex),
    R2_BUCKET_NAME: 'everyskill-lab',
    ADMIN_EMAILS: `admin@${DOMAIN}`,
    ...secret('BACKUP_CIPHER_PASS', base64),
    BACKUP_GPG_RECIPIENTS: ['custodian-a', 'custodian-b']
      .map((name) => labPath('recipients', `${name}.asc`))
      .join(),
    BACKUP_GPG_HOMEDIR: labPath('gnupg'),
    STORAGEBOX_USER: BOX.sub,
    STORAGEBOX_HOST: ADDRESS.storagebox,
    STORAGEBOX_PORT: '23',
    STORAGEBOX_DIR: 'backups',
    STORAGEBOX_SSH_KEY: labPath('keys', 'box'),
    STORAGEBOX_KNOWN_HOSTS: labPath('box_known_hosts'),
    STORAGEBOX_ADMIN_USER: BOX.main,
    STORAGEBOX_ADMIN_SSH_KEY: labPath('keys', 'box_admin'),
  }
  const lines = Object.entries(values).map(([name, value]) => `${name}=${value}\n`)
  const content = `# Written by test/lab: points the scripts at the lab.\n${lines.join('')}`
  writeFileSync(file, content, { mode: 0o600 })
  return values
}
