import type { ServerFile } from './files.ts'
import { paths, trustedRoot, uids } from './paths.ts'
import type { ServerEnv } from './server-env.ts'

/** The images that the stack runs; a colour that has never run has none yet. */
export interface StackImages {
  caddy: string
  postgres: string
  migrate: string
  blue: string
  green: string
}

/** Compose's own variables: nothing secret. (`docker compose config` still shows web.env; use --quiet.) */
export function composeEnv(env: ServerEnv, images: StackImages): ServerFile {
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
