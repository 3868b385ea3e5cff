import type { Picked } from './env.ts'
import type { Name } from './names.ts'

/** The names whose values reach the server through these files; everything else stays with the operator. */
export const fileNames = [
  'NEXT_PUBLIC_ROOT_DOMAIN',
  'NEXT_PUBLIC_APP_URL',
  'NEXTAUTH_URL',
  'NODE_ENV',
  'PUBLIC_IPV4',
  'PUBLIC_IPV6',
  'HETZNER_DNS_API_TOKEN',
  'ACME_EMAIL',
  'ACME_DIRECTORY',
  'ACME_PROPAGATION_DELAY',
  'ACME_RESOLVERS',
  'TRUSTED_ROOT',
  'DB_PASSWORD',
  'DB_APP_PASSWORD',
  'BACKUP_CIPHER_PASS',
  'AUTH_SECRET',
  'AUTH_SECRET_2',
  'AUTH_SECRET_3',
  'AUTH_GOOGLE_ID',
  'AUTH_GOOGLE_SECRET',
  'ANTHROPIC_API_KEY',
  'R2_ENDPOINT',
  'R2_ACCESS_KEY_ID',
  'R2_SECRET_ACCESS_KEY',
  'R2_BUCKET_NAME',
  'ADMIN_EMAILS',
] as const satisfies readonly Name[]

export type ServerEnv = Picked<(typeof fileNames)[number]>
