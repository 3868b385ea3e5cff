import { type Name, names } from './names.ts'

/** Where a value may rest. `operator` never leaves the operator's machine; `server` is readable by root there; `build` goes into images. */
export type Place = 'operator' | 'build' | 'server' | 'web' | 'caddy' | 'postgres'

/** Where each value may rest. A value whose only place is `operator` or `build` is never written to the server. */
export const places: Record<Name, readonly Place[]> = {
  SERVER_HOST: ['operator'],
  SERVER_USER: ['operator'],
  SERVER_SSH_PORT: ['operator'],
  SERVER_KNOWN_HOSTS: ['operator'],
  SERVER_SSH_KEY: ['operator'],
  APP_DIR: ['operator'],
  EVERYSKILL_LAB: ['operator'],
  HCLOUD_TOKEN: ['operator'],
  HETZNER_API: ['operator'],
  PUBLIC_CA: ['operator'],
  CUSTODIANS: ['operator'],
  UNLOCK_PORT: ['operator'],
  UNLOCK_KNOWN_HOSTS: ['operator'],
  UNLOCK_SSH_KEY: ['operator'],
  HCLOUD_API: ['operator'],
  HCLOUD_SERVER: ['operator'],
  LUKS_MEMORY: ['operator'],
  LUKS_ITERATIONS: ['operator'],
  LUKS_PARALLEL: ['operator'],
  DEPLOY_PLATFORM: ['build'],
  NODE_IMAGE: ['build'],
  CADDY_BUILDER_IMAGE: ['build'],
  CADDY_IMAGE: ['build'],
  POSTGRES_IMAGE: ['build'],
  REGISTRY_IMAGE: ['operator'],
  NEXT_SERVER_ACTIONS_ENCRYPTION_KEY: ['build'],
  NEXT_PUBLIC_ROOT_DOMAIN: ['build', 'web', 'server'],
  NEXT_PUBLIC_APP_URL: ['build', 'web'],
  NEXTAUTH_URL: ['web'],
  PUBLIC_IPV4: ['server'],
  PUBLIC_IPV6: ['server'],
  HETZNER_DNS_API_TOKEN: ['caddy'],
  ACME_EMAIL: ['caddy', 'server'],
  ACME_DIRECTORY: ['caddy', 'server'],
  ACME_PROPAGATION_DELAY: ['caddy', 'server'],
  ACME_RESOLVERS: ['caddy', 'server'],
  TRUSTED_ROOT: ['caddy'],
  DB_PASSWORD: ['postgres'],
  DB_APP_PASSWORD: ['postgres', 'web'],
  DATABASE_URL: ['web'],
  NODE_ENV: ['web'],
  AUTH_SECRET: ['web'],
  AUTH_SECRET_2: ['web'],
  AUTH_SECRET_3: ['web'],
  AUTH_GOOGLE_ID: ['web'],
  AUTH_GOOGLE_SECRET: ['web'],
  ANTHROPIC_API_KEY: ['web'],
  R2_ENDPOINT: ['web'],
  R2_ACCESS_KEY_ID: ['web'],
  R2_SECRET_ACCESS_KEY: ['web'],
  R2_BUCKET_NAME: ['web'],
  ADMIN_EMAILS: ['web'],
  BACKUP_CIPHER_PASS: ['postgres'],
  BACKUP_GPG_RECIPIENTS: ['server'],
  BACKUP_GPG_PASSPHRASE: ['server'],
  BACKUP_GPG_HOMEDIR: ['operator'],
  ALERT_URL: ['server'],
  EVIDENCE_KEY: ['operator'],
  BACKUP_RETENTION_DAYS: ['server'],
  STORAGEBOX_USER: ['server'],
  STORAGEBOX_HOST: ['server'],
  STORAGEBOX_PORT: ['server'],
  STORAGEBOX_DIR: ['server'],
  STORAGEBOX_SSH_KEY: ['server'],
  STORAGEBOX_KNOWN_HOSTS: ['server'],
  STORAGEBOX_ADMIN_USER: ['operator'],
  STORAGEBOX_ADMIN_SSH_KEY: ['operator'],
}

const secrets: ReadonlySet<string> = new Set<Name>([
  'HCLOUD_TOKEN',
  'NEXT_SERVER_ACTIONS_ENCRYPTION_KEY',
  'HETZNER_DNS_API_TOKEN',
  'DB_PASSWORD',
  'DB_APP_PASSWORD',
  'DATABASE_URL',
  'AUTH_SECRET',
  'AUTH_SECRET_2',
  'AUTH_SECRET_3',
  'AUTH_GOOGLE_SECRET',
  'ANTHROPIC_API_KEY',
  'R2_SECRET_ACCESS_KEY',
  'BACKUP_CIPHER_PASS',
  'BACKUP_GPG_PASSPHRASE',
  'ALERT_URL',
])

/** Whether a name's value is a secret that no output may hold. R2's access key id and the OAuth client id are public halves. */
export function isSecret(name: string): boolean {
  return secrets.has(name)
}

/** The names whose values may rest at a place. */
export function namesAt(place: Place): Name[] {
  return names.filter((name) => places[name].includes(place))
}
