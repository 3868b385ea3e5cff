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
  backups: '/var/backups/everyskill',
  repository: '/var/backups/everyskill/repository',
  /** What each physical backup was found to be, one file a backup. */
  manifests: '/var/backups/everyskill/manifests',
  dumps: '/var/backups/everyskill/dumps',
  files: '/var/backups/everyskill/files',
  /** What the last copy and the last look found out. */
  shipping: '/var/backups/everyskill/shipping',
  fetched: '/var/backups/everyskill/fetched',
  evidence: `${root}/evidence`,
} as const

/** The uids that read secrets inside the containers. */
export const uids = { root: 0, caddy: 1000, web: 1001, postgres: 999 } as const

/** Where Caddy's container finds the authority of TRUSTED_ROOT. */
export const trustedRoot = '/etc/caddy/trusted-root.pem'
