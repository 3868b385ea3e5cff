import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Picked, pathIn } from './env.ts'
import { Fail } from './fail.ts'
import type { Name } from './names.ts'
import { paths, uids } from './paths.ts'

/** One file on the server: who reads it decides its owner and mode. */
export interface ServerFile {
  path: string
  content: string
  owner: number
  mode: string
}

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

type FileEnv = Picked<(typeof fileNames)[number]>

const docker = join(import.meta.dirname, '../../docker')
const trustedRoot = '/etc/caddy/trusted-root.pem'

/** The plain artefacts, as they stand in docker/. */
export function artefactFiles(envFile: string, env: Pick<FileEnv, 'TRUSTED_ROOT'>): ServerFile[] {
  const plain = (name: string, dir: string, owner: number, mode: string) => ({
    path: `${dir}/${name}`,
    content: readFileSync(join(docker, name), 'utf8'),
    owner,
    mode,
  })
  const root = env.TRUSTED_ROOT
  return [
    plain('docker-compose.prod.yml', paths.docker, uids.root, '0444'),
    plain('docker-compose.ipv6.yml', paths.docker, uids.root, '0444'),
    plain('drain.cjs', paths.docker, uids.root, '0444'),
    plain('Caddyfile', paths.caddy, uids.caddy, '0444'),
    ...(root
      ? [
          {
            path: `${paths.caddy}/trusted-root.pem`,
            content: readPem(envFile, root),
            owner: uids.caddy,
            mode: '0444',
          },
        ]
      : []),
  ]
}

/** The secrets, one file a consumer, each readable by the uid that needs it and nobody else. */
export function secretFiles(env: FileEnv): ServerFile[] {
  const secret = (path: string, content: string, owner: number) => ({
    path: `${paths.env}/${path}`,
    content,
    owner,
    mode: '0400',
  })
  return [
    secret('web.env', webEnv(env), uids.root),
    secret('caddy/hetzner_dns_api_token', env.HETZNER_DNS_API_TOKEN, uids.caddy),
    secret('postgres/db_password', env.DB_PASSWORD, uids.postgres),
    secret('postgres/db_app_password', env.DB_APP_PASSWORD, uids.postgres),
    secret('migrate/database_url', databaseUrl(env), uids.web),
  ]
}

/** The connection string of the app's role; the password may hold characters that a URL does not. */
export function databaseUrl(env: Pick<FileEnv, 'DB_APP_PASSWORD'>): string {
  return `postgresql://everyskill_a:${encodeURIComponent(env.DB_APP_PASSWORD)}@postgres:5432/everyskill`
}

/**
 * The web container's environment. Auth.js ignores its numbered secrets while AUTH_SECRET is set, which would make rotation
 * impossible, so the container never gets that name (next-auth lib/env.js; the highest number encrypts, all decrypt).
 */
export function webEnv(env: FileEnv): string {
  const values = {
    NODE_ENV: env.NODE_ENV,
    DATABASE_URL: databaseUrl(env),
    NEXT_PUBLIC_ROOT_DOMAIN: env.NEXT_PUBLIC_ROOT_DOMAIN,
    NEXT_PUBLIC_APP_URL: env.NEXT_PUBLIC_APP_URL,
    NEXTAUTH_URL: env.NEXTAUTH_URL ?? env.NEXT_PUBLIC_APP_URL,
    AUTH_TRUST_HOST: 'true',
    AUTH_SECRET_1: env.AUTH_SECRET,
    AUTH_SECRET_2: env.AUTH_SECRET_2,
    AUTH_SECRET_3: env.AUTH_SECRET_3,
    AUTH_GOOGLE_ID: env.AUTH_GOOGLE_ID,
    AUTH_GOOGLE_SECRET: env.AUTH_GOOGLE_SECRET,
    ANTHROPIC_API_KEY: env.ANTHROPIC_API_KEY,
    R2_ENDPOINT: env.R2_ENDPOINT,
    R2_ACCESS_KEY_ID: env.R2_ACCESS_KEY_ID,
    R2_SECRET_ACCESS_KEY: env.R2_SECRET_ACCESS_KEY,
    R2_BUCKET_NAME: env.R2_BUCKET_NAME,
    ADMIN_EMAILS: env.ADMIN_EMAILS,
  }
  return envText(values)
}

/** The images that the stack runs; a colour that has never run has none yet. */
export interface StackImages {
  caddy: string
  postgres: string
  migrate: string
  blue: string
  green: string
}

/** Compose's own variables: nothing secret, so that `docker compose config` can be shown to anybody. */
export function composeEnv(env: FileEnv, images: StackImages): ServerFile {
  const values = {
    CADDY_IMAGE: images.caddy,
    POSTGRES_IMAGE: images.postgres,
    MIGRATE_IMAGE: images.migrate,
    WEB_BLUE_IMAGE: images.blue,
    WEB_GREEN_IMAGE: images.green,
    PUBLIC_IPV4: env.PUBLIC_IPV4,
    PUBLIC_IPV6: env.PUBLIC_IPV6,
    ROOT_DOMAIN: env.NEXT_PUBLIC_ROOT_DOMAIN,
    ACME_EMAIL: env.ACME_EMAIL,
    ACME_DIRECTORY: env.ACME_DIRECTORY,
    ACME_PROPAGATION_DELAY: env.ACME_PROPAGATION_DELAY,
    ACME_RESOLVERS: env.ACME_RESOLVERS && `resolvers ${env.ACME_RESOLVERS}`,
    TRUSTED_ROOT: env.TRUSTED_ROOT && trustedRoot,
  }
  const content = Object.entries(values).map(([name, value]) => `${name}=${value ?? ''}\n`)
  return { path: `${paths.env}/compose.env`, content: content.join(''), owner: uids.root, mode: '0400' }
}

/** A file for Compose's `env_file` in raw format: every character of a value is just that. */
function envText(values: Record<string, string | undefined>): string {
  const given = Object.entries(values).filter((entry): entry is [string, string] => entry[1] !== undefined)
  return given.map(([name, value]) => `${name}=${value}\n`).join('')
}

function readPem(envFile: string, path: string): string {
  const file = pathIn(envFile, path)
  try {
    return readFileSync(file, 'utf8')
  } catch {
    throw new Fail('usage', `${envFile}:\n  TRUSTED_ROOT names ${file}, which cannot be read`)
  }
}
