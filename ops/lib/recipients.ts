import { recipientFiles, serverBackup } from './backup-files.ts'
import { fileIn, type Picked } from './env.ts'
import { Fail } from './fail.ts'
import { Host } from './host.ts'
import type { Session } from './session.ts'
import { type Script, sh } from './sh.ts'

/** A public key of a backup: its fingerprint, and from when on nothing can be encrypted to it. */
export interface Recipient {
  fingerprint: string
  /** Null: it does not expire. Long ago: it cannot encrypt at all. */
  expires: Date | null
}

/**
 * The keys in what `gpg --with-colons --show-keys` prints.
 * @see https://github.com/gpg/gnupg/blob/master/doc/DETAILS (fields 1, 7, 10 and 12)
 */
export function recipientsIn(colons: string): Recipient[] {
  const keys: { fingerprint: string; end: number; encrypts: number }[] = []
  for (const line of colons.split('\n')) {
    const [type, validity = '', , , , , expiry, , , id = '', , can = ''] = line.split(':')
    const until = expiry ? Number(expiry) * 1000 : Number.POSITIVE_INFINITY
    const end = /[rid]/.test(validity) ? 0 : until
    const encrypts = can.includes('e') ? end : 0
    if (type === 'pub') keys.push({ fingerprint: '', end, encrypts })
    const key = keys.at(-1)
    if (!key) continue
    if (type === 'sub') key.encrypts = Math.max(key.encrypts, encrypts)
    if (type === 'fpr') key.fingerprint ||= id
  }
  return keys.map(({ fingerprint, end, encrypts }) => {
    const until = Math.min(end, encrypts)
    return { fingerprint, expires: Number.isFinite(until) ? new Date(until) : null }
  })
}

/** Prints the keys of files, with a key ring of its own that is thrown away. */
function show(files: Script): Script {
  return sh`export GNUPGHOME=$(mktemp -d)
trap 'rm -rf "$GNUPGHOME"' EXIT
for file in ${files}; do [ ! -e "$file" ] || gpg --batch --no-options --with-colons --show-keys "$file"; done`
}

/**
 * Looks into each file of BACKUP_GPG_RECIPIENTS. gpg encrypts to the first key of a file only, and to none that has
 * expired, so anything else would be found out when a custodian cannot open a backup, or when there is none.
 * @throws Fail `usage` naming the file, unless it holds exactly one key that can encrypt today; or when all is one key's
 */
export async function checkRecipients(
  envFile: string,
  env: Picked<'BACKUP_GPG_RECIPIENTS'>,
  session: Session,
): Promise<void> {
  const known = new Set<string>()
  for (const path of recipientFiles(env)) {
    const file = fileIn(envFile, 'BACKUP_GPG_RECIPIENTS', path)
    const shown = await new Host('operator', [], session).probe(show(sh`${file}`))
    const keys = recipientsIn(shown.stdout)
    const [key] = keys
    const problem =
      shown.code !== 0 || !key
        ? `holds no public key that gpg can read: ${shown.stderr.trim()}`
        : keys.length > 1
          ? `holds ${keys.length} keys, and gpg would encrypt to the first one only: give each key a file of its own`
          : key.expires && key.expires < new Date()
            ? 'holds a key that cannot encrypt: expired (gpg --quick-set-expire FINGERPRINT never, then export it again), revoked, or not made for it'
            : undefined
    if (problem) throw new Fail('usage', `${envFile}:\n  BACKUP_GPG_RECIPIENTS: ${path} ${problem}`)
    if (key) known.add(key.fingerprint)
  }
  if (known.size !== 1) return
  const why = 'two custodians at least, or the loss of one key is the loss of all backups'
  throw new Fail('usage', `${envFile}:\n  BACKUP_GPG_RECIPIENTS: ${why}`)
}

/** The first of the server's recipients to expire, null when none will: backups stop on that day. */
export async function firstToExpire(server: Host): Promise<(Recipient & { expires: Date }) | null> {
  const keys = recipientsIn(await server.read(show(sh`${serverBackup.dir}/recipient-*.asc`)))
  const ending = keys.filter((key): key is Recipient & { expires: Date } => key.expires !== null)
  return ending.sort((a, b) => a.expires.getTime() - b.expires.getTime())[0] ?? null
}

/** argv of gpg that encrypts stdin on this machine to every key of some files; any one of them opens it. */
export function encryptTo(home: string, files: readonly string[]): string[] {
  const to = files.flatMap((file) => ['--recipient-file', file])
  const quiet = ['--no-options', '--batch', '--quiet', '--no-tty', '--trust-model', 'always']
  return ['gpg', '--homedir', home, ...quiet, '-z', '0', '--cipher-algo', 'AES256', '--encrypt', ...to]
}
