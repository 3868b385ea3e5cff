import { isIP } from 'node:net'
import * as v from 'valibot'

const email = /[^\s,@'"\\$`#]+@[^\s,@'"\\$`#]+/.source
const text = (hint: string, pattern: RegExp) =>
  v.pipe(v.string(), v.regex(pattern, hint), v.description(hint))
const word = (hint: string) => text(hint, /^[^\s'"\\$`#]+$/)
/** A secret that somebody else issues. Shorter ones could not be hidden in the output. */
const token = (hint: string) => text(hint, /^[^\s'"\\$`#]{8,}$/)
const password = (hint: string) => text(hint, /^[A-Za-z0-9._~+/=-]{16,256}$/)
const path = word
const url = (hint: string) => text(hint, /^https:\/\/[^\s'"\\$`#]+$/)
const port = (hint: string) =>
  text(hint, /^([1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5])$/)
const days = (hint: string) => text(hint, /^[1-9]\d{0,4}$/)
const host = (hint: string) => text(hint, /^[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?$/)
const account = (hint: string) => text(hint, /^[a-z_][a-z0-9_.-]*$/i)
const emails = (hint: string, atMost = 1) =>
  text(hint, new RegExp(`^${email}(, ?${email}){0,${atMost - 1}}$`))
/** Exact: with a tag other than latest, or a digest. The lab's stand-ins carry no tag. */
const image = (hint: string) =>
  text(hint, /^(everyskill-lab\/[a-z-]+|(?!.*:latest$)[a-z0-9][\w./:-]*(:\w[\w.-]*|@sha256:[0-9a-f]{64}))$/)
/** A public address: neither a wildcard nor one with a zone. */
const address = (hint: string, version: 4 | 6) =>
  v.pipe(
    v.string(),
    v.check((value) => isIP(value) === version && /[1-9a-f]/i.test(value) && !value.includes('%'), hint),
    v.description(hint),
  )

const base64Key = /^([A-Za-z0-9+/]{22}==|[A-Za-z0-9+/]{32}|[A-Za-z0-9+/]{43}=)$/

/** Every name of `.env`, what a good value looks like, and its default. `.env.example` says the same to a person; a test compares the two. */
export const schema = v.object({
  SERVER_HOST: host('a host name or address, or `local` on the server itself'),
  SERVER_USER: v.optional(account('a login name on the server'), 'root'),
  SERVER_SSH_PORT: v.optional(port('a TCP port, 1 to 65535'), '22'),
  SERVER_KNOWN_HOSTS: v.optional(
    path("path of a known_hosts file with the server's key: ssh-keyscan HOST, compare, save"),
  ),
  SERVER_SSH_KEY: v.optional(path('path of a private key; leave it out to use the ssh agent')),
  APP_DIR: v.optional(path("path of the app's checkout; or pass --app DIR")),
  EVERYSKILL_LAB: v.optional(text('1, and only in the lab', /^1$/)),
  HCLOUD_TOKEN: v.optional(text('a Hetzner Cloud token, 64 letters and digits', /^[A-Za-z0-9]{64}$/)),
  HETZNER_API: v.optional(url('an https:// address'), 'https://api.hetzner.com/v1'),
  PUBLIC_CA: v.optional(
    path('path of a PEM with the root of the public certificate; leave it out for the system roots'),
  ),

  CUSTODIANS: v.optional(path("paths of the custodians' ssh public keys, at least two, separated by commas")),
  UNLOCK_PORT: v.optional(port('a TCP port, 1 to 65535'), '2222'),
  UNLOCK_KNOWN_HOSTS: v.optional(path('path of the known_hosts file that provision-luks writes')),
  UNLOCK_SSH_KEY: v.optional(path("path of a custodian's private key; leave it out to use the ssh agent")),
  HCLOUD_API: v.optional(url('an https:// address'), 'https://api.hetzner.cloud/v1'),
  HCLOUD_SERVER: v.optional(
    text("the server's name or id in Hetzner's console", /^[A-Za-z0-9][A-Za-z0-9.-]*$/),
  ),
  LUKS_MEMORY: v.optional(text('KiB, such as 524288', /^[1-9]\d{4,6}$/), '524288'),
  LUKS_ITERATIONS: v.optional(text('4 or more passes', /^([4-9]|[1-9]\d{1,2})$/), '4'),
  LUKS_PARALLEL: v.optional(text('1 to 4 threads', /^[1-4]$/), '2'),

  DEPLOY_PLATFORM: v.optional(text('linux/amd64 or linux/arm64', /^linux\/(amd64|arm64)$/), 'linux/amd64'),
  NODE_IMAGE: v.optional(image('an image with an exact tag')),
  CADDY_BUILDER_IMAGE: v.optional(image('an image with an exact tag')),
  CADDY_IMAGE: v.optional(image('an image with an exact tag')),
  POSTGRES_IMAGE: v.optional(image('an image with an exact tag')),
  REGISTRY_IMAGE: v.optional(image('an image with an exact tag'), 'registry:3.0.0'),
  NEXT_SERVER_ACTIONS_ENCRYPTION_KEY: text(
    'base64 of 16, 24 or 32 bytes: openssl rand -base64 32',
    base64Key,
  ),

  NEXT_PUBLIC_ROOT_DOMAIN: text('a domain name, such as everyskill.ai', /^([a-z0-9-]+\.)+[a-z]{2,}$/),
  NEXT_PUBLIC_APP_URL: url('an https:// address, such as https://everyskill.ai'),
  NEXTAUTH_URL: v.optional(url('an https:// address; leave it out to use NEXT_PUBLIC_APP_URL')),
  PUBLIC_IPV4: address("the server's public IPv4 address; not 0.0.0.0", 4),
  PUBLIC_IPV6: v.optional(address("the server's public IPv6 address", 6)),

  HETZNER_DNS_API_TOKEN: token(
    'a Hetzner Cloud token (Read & Write) of the project that holds only the DNS zone',
  ),
  ACME_EMAIL: emails('an e-mail address'),
  ACME_DIRECTORY: v.optional(url('an https:// address'), 'https://acme-v02.api.letsencrypt.org/directory'),
  ACME_PROPAGATION_DELAY: v.optional(text('a duration such as 60s', /^\d{1,4}s$/), '60s'),
  ACME_RESOLVERS: v.optional(text('addresses of name servers, separated by spaces', /^[0-9a-fA-F:. ]+$/)),
  TRUSTED_ROOT: v.optional(
    path("path of a PEM to trust instead of the system's roots, for Caddy and for HETZNER_API"),
  ),

  DB_PASSWORD: password('at least 16 letters and digits: openssl rand -hex 32'),
  DB_APP_PASSWORD: password('at least 16 letters and digits: openssl rand -hex 32'),
  DATABASE_URL: v.optional(
    v.pipe(v.never(), v.description('deploy derives it from DB_APP_PASSWORD; delete the line')),
  ),
  NODE_ENV: v.optional(text('production', /^production$/), 'production'),

  AUTH_SECRET: password('at least 16 characters: openssl rand -base64 32'),
  AUTH_SECRET_2: v.optional(password('at least 16 characters: openssl rand -base64 32')),
  AUTH_SECRET_3: v.optional(password('at least 16 characters: openssl rand -base64 32')),
  AUTH_GOOGLE_ID: word('the OAuth client id of the Google Cloud console'),
  AUTH_GOOGLE_SECRET: token('the OAuth client secret of the Google Cloud console'),
  ANTHROPIC_API_KEY: token('an API key of the Anthropic console'),
  R2_ENDPOINT: url('the https:// address of the R2 account'),
  R2_ACCESS_KEY_ID: word('an R2 access key id'),
  R2_SECRET_ACCESS_KEY: token('an R2 secret access key'),
  R2_BUCKET_NAME: word('an R2 bucket name'),
  ADMIN_EMAILS: emails('e-mail addresses, separated by commas', 1000),

  BACKUP_CIPHER_PASS: password('at least 16 characters: openssl rand -base64 48'),
  BACKUP_GPG_RECIPIENTS: v.optional(path('paths of OpenPGP public key files, separated by commas')),
  BACKUP_GPG_PASSPHRASE: v.optional(password('at least 16 characters: openssl rand -base64 32')),
  BACKUP_GPG_HOMEDIR: v.optional(path('path of the GnuPG home that holds the private key')),
  ALERT_URL: v.optional(url('the https:// address that alerts are posted to')),
  EVIDENCE_KEY: v.optional(path('path of the ssh private key that signs records of restores')),
  BACKUP_RETENTION_DAYS: v.optional(days('a number of days'), '90'),
  STORAGEBOX_USER: account('the sub-account of the Storage Box, such as u123456-sub1'),
  STORAGEBOX_HOST: host('the host name of the Storage Box'),
  STORAGEBOX_PORT: v.optional(port('a TCP port, 1 to 65535'), '23'),
  STORAGEBOX_DIR: v.optional(text('a relative directory name', /^[A-Za-z0-9][A-Za-z0-9._/-]*$/), 'backups'),
  STORAGEBOX_SSH_KEY: path("path of the sub-account's private key"),
  STORAGEBOX_KNOWN_HOSTS: path("path of a known_hosts file with the Storage Box's key"),
  STORAGEBOX_ADMIN_USER: v.optional(account('the main account of the Storage Box, such as u123456')),
  STORAGEBOX_ADMIN_SSH_KEY: v.optional(path("path of the main account's private key")),
})

export type Env = v.InferOutput<typeof schema>
export type Name = keyof Env

/** Every known name, in the order of `.env.example`. */
export const names = Object.keys(schema.entries) as Name[]
