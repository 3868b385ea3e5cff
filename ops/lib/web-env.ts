import type { ServerEnv } from './server-env.ts'

/** The connection string of the app's role; the password may hold characters that a URL does not. */
export function databaseUrl(env: Pick<ServerEnv, 'DB_APP_PASSWORD'>): string {
  return `postgresql://everyskill_a:${encodeURIComponent(env.DB_APP_PASSWORD)}@postgres:5432/everyskill`
}

/**
 * The web container's environment. Auth.js ignores its numbered secrets while AUTH_SECRET is set, which would make rotation
 * impossible, so the container never gets that name (next-auth lib/env.js; the highest number encrypts, all decrypt).
 */
export function webEnv(env: ServerEnv): string {
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

/** A file for Compose's `env_file` in raw format: every character of a value is just that. */
function envText(values: Record<string, string | undefined>): string {
  const given = Object.entries(values).filter((entry): entry is [string, string] => entry[1] !== undefined)
  return given.map(([name, value]) => `${name}=${value}\n`).join('')
}
