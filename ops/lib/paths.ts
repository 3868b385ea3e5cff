/** Where things are on the server; plain files that a person can read. */
const root = '/opt/everyskill'

export const paths = {
  root,
  docker: `${root}/docker`,
  caddy: `${root}/caddy`,
  env: `${root}/env`,
  live: `${root}/live/colours`,
  releases: `${root}/releases`,
  audit: `${root}/audit.log`,
  repo: `${root}/repo`,
  node: `${root}/node`,
  dumps: '/var/backups/everyskill/dumps',
} as const

/** The uids that read secrets inside the containers. */
export const uids = { root: 0, caddy: 1000, web: 1001, postgres: 999 } as const

/** Where Caddy's container finds the authority of TRUSTED_ROOT. */
export const trustedRoot = '/etc/caddy/trusted-root.pem'
