import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { textIn } from './env.ts'
import { paths, uids } from './paths.ts'
import type { ServerEnv } from './server-env.ts'
import { databaseUrl, webEnv } from './web-env.ts'

/** One file on the server: who reads it decides its owner and mode. */
export interface ServerFile {
  path: string
  content: string
  owner: number
  mode: string
}

const docker = join(import.meta.dirname, '../../docker')

/** The plain artefacts, as they stand in docker/. */
export function artefactFiles(envFile: string, env: Pick<ServerEnv, 'TRUSTED_ROOT'>): ServerFile[] {
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
    plain('pgbackrest.conf', `${paths.env}/pgbackrest`, uids.root, '0444'),
    ...(root
      ? [
          {
            path: `${paths.caddy}/trusted-root.pem`,
            content: textIn(envFile, 'TRUSTED_ROOT', root),
            owner: uids.caddy,
            mode: '0444',
          },
        ]
      : []),
  ]
}

/** The secrets, one file a consumer, each readable by the uid that needs it and nobody else. */
export function secretFiles(env: ServerEnv): ServerFile[] {
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
    secret(
      'pgbackrest/cipher.conf',
      `[global]\nrepo1-cipher-pass=${env.BACKUP_CIPHER_PASS}\n`,
      uids.postgres,
    ),
    secret('migrate/database_url', databaseUrl(env), uids.web),
  ]
}
