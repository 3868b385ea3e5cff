import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { pathIn } from './env.ts'
import { Fail } from './fail.ts'

/** A person who can unlock the disk: a key that reaches the prompt, and a passphrase that nobody else knows. */
export interface Custodian {
  /** The name of the public key's file, without `.pub`. */
  name: string
  /** Type and base64 on one line; no options, no comment. */
  key: string
  /** As `ssh-keygen -lf` prints it: SHA256:… */
  fingerprint: string
}

/** Key types that today's OpenSSH offers, and that the hook which puts Dropbear into the initramfs knows. */
const types = ['ssh-ed25519', 'ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp521', 'ssh-rsa']
const make = 'a custodian makes one with: ssh-keygen -t ed25519 -f NAME, and gives away NAME.pub'

/**
 * The custodians of CUSTODIANS.
 * @param list paths of their public keys, separated by commas
 * @throws Fail `usage` with every problem in one message: fewer than two, a name or a key twice, a file that is not one public key
 */
export function custodiansOf(envFile: string, list: string): Custodian[] {
  const problems: string[] = []
  const found = list.split(',').flatMap((path) => {
    try {
      return path.trim() === '' ? [] : [custodianIn(envFile, path.trim())]
    } catch (error) {
      problems.push((error as Error).message)
      return []
    }
  })
  found.forEach((one, i) => {
    const before = found.slice(0, i)
    if (before.some(({ name }) => name === one.name)) problems.push(`two files are called ${one.name}.pub`)
    const same = before.find(({ fingerprint }) => fingerprint === one.fingerprint)
    if (same) problems.push(`${same.name} and ${one.name} have the same key: each custodian makes their own`)
  })
  if (problems.length === 0 && found.length < 2)
    problems.push(`it takes two custodians at least, or the loss of one key is the loss of the disk; ${make}`)
  if (problems.length === 0) return found
  throw new Fail('usage', `${envFile}:\n${problems.map((text) => `  CUSTODIANS: ${text}`).join('\n')}`)
}

/**
 * The custodian of one public key file.
 * @param path relative to the `.env`
 * @param name given for them; that of the file when left out
 * @throws Fail `usage` when the file is anything but one public key
 */
export function custodianIn(envFile: string, path: string, name = basename(path, '.pub')): Custodian {
  const file = pathIn(envFile, path)
  const bad = (why: string) => new Fail('usage', `${path} ${why}`)
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$/.test(name))
    throw bad(`gives the name ${JSON.stringify(name)}: 32 letters, digits, dots, _ and - at most`)
  if (!existsSync(file)) throw bad(`does not exist; ${make}`)
  const text = readFileSync(file, 'utf8').replace(/\r?\n$/, '')
  if (text.includes('PRIVATE KEY')) throw bad(`is a private key: it must never leave its owner. ${make}`)
  if (/[\r\n]/.test(text)) throw bad('has more than one line: one public key a file')
  const [type = '', base64 = ''] = text.split(' ')
  if (type === 'ssh-dss') throw bad(`is an ssh-dss key, which today's ssh refuses; ${make}`)
  if (!types.includes(type)) throw bad(`does not begin with the type of a public key (no options); ${make}`)
  const blob = Buffer.from(base64, 'base64')
  const [inner, ...parts] = fieldsOf(blob)
  if (blob.toString('base64') !== base64 || inner?.toString() !== type || parts.length === 0)
    throw bad(`is not a whole public key; ${make}`)
  if (type === 'ssh-rsa' && (parts[1]?.length ?? 0) < 256)
    throw bad(`is RSA of fewer than 2048 bits; ${make}`)
  const hash = createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')
  return { name, key: `${type} ${base64}`, fingerprint: `SHA256:${hash}` }
}

/** The fields of a key as ssh packs them (RFC 4253, section 6.6); none when the lengths do not add up. */
function fieldsOf(blob: Buffer): Buffer[] {
  const fields: Buffer[] = []
  let at = 0
  while (at + 4 <= blob.length) {
    const end = at + 4 + blob.readUInt32BE(at)
    fields.push(blob.subarray(at + 4, end))
    at = end
  }
  return at === blob.length ? fields : []
}

/**
 * Refuses a passphrase that could not be typed at the server's console, or could be guessed.
 * @param name whose it is
 * @throws Fail `usage` naming the rule, never the passphrase
 */
export function checkPassphrase(name: string, passphrase: string): void {
  const bad = (why: string) =>
    new Fail('usage', `the passphrase of ${name} ${why}. Make one: openssl rand -hex 16`)
  if (passphrase === '') throw bad('is empty')
  if (/[\r\n]/.test(passphrase)) throw bad('has more than one line')
  if (!/^[ -~]*$/.test(passphrase))
    throw bad('has other characters than printable ASCII, which a console may not be able to type')
  if (passphrase !== passphrase.trim()) throw bad('begins or ends with a blank, which a terminal may drop')
  if (passphrase.length < 20) throw bad('is shorter than 20 characters')
}

/**
 * The custodian's line of Dropbear's authorized_keys in the initramfs: whatever they ask for, cryptroot-unlock runs. The pty
 * stays: without one cryptroot-unlock would show what is typed.
 */
export function authorizedLine({ key, name }: Custodian): string {
  const options = ['no-port-forwarding', 'no-agent-forwarding', 'no-X11-forwarding']
  return `${options.join(',')},command="/bin/cryptroot-unlock" ${key} ${name}`
}
