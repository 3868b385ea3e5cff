import { readdirSync, readFileSync } from 'node:fs'
import { secretsIn } from '../../ops/lib/env.ts'
import { databaseUrl } from '../../ops/lib/web-env.ts'
import type { Needles } from './search.ts'
import { $, labPath, text } from './shell.ts'

/** Every secret value of the lab's `.env`, the connection string made from one, and the forms in which they travel. */
export function secretNeedles(envFile: string): Needles {
  const secrets = secretsIn(envFile)
  const url = databaseUrl({ DB_APP_PASSWORD: secrets.DB_APP_PASSWORD ?? '' })
  const needles: Needles = {}
  for (const [name, value] of Object.entries({ ...secrets, DATABASE_URL: url }))
    Object.assign(needles, forms(name, value))
  return needles
}

/** A value as it is, URL-encoded and in base64, under names like `DB_PASSWORD`, `DB_PASSWORD in base64`. */
export function forms(name: string, value: string): Needles {
  const base64 = Buffer.from(value).toString('base64')
  return { [name]: value, [`${name} URL-encoded`]: encodeURIComponent(value), [`${name} in base64`]: base64 }
}

/** The name of the secret that a needle is a form of. */
export const secretOf = (needle: string) => needle.split(' ')[0] ?? ''

/** Pieces of the private keys that never leave the operator: its own, the Storage Box's main account's, the custodians'. */
export async function privateKeyNeedles(): Promise<Needles> {
  const needles: Needles = {}
  for (const name of ['operator', 'box_admin'])
    needles[`keys/${name}`] = sshSecret(readFileSync(labPath('keys', name), 'utf8'))
  const home = labPath('gnupg')
  for (const file of readdirSync(`${home}/private-keys-v1.d`)) {
    const exponent = /\(d\s+#([\dA-F\s]+)#/.exec(
      readFileSync(`${home}/private-keys-v1.d/${file}`, 'latin1'),
    )?.[1]
    if (!exponent) throw new Error(`${file}: not an unprotected RSA key`)
    needles[`gnupg/${file} in hexadecimal`] = exponent.split('\n')[2]?.trim() ?? ''
    needles[`gnupg/${file} as bytes`] = piece(Buffer.from(exponent.replaceAll(/\s/g, ''), 'hex'))
  }
  const gpg = ['--homedir', home, '--batch', '--quiet']
  const armoured = await text(
    $`gpg ${gpg} --armor --export-secret-keys; gpgconf --homedir ${home} --kill gpg-agent`,
  )
  armoured
    .split('\n')
    .slice(16, 60)
    .forEach((line, i) => {
      if (/^[\w+/]{64}$/.test(line)) needles[`gnupg armoured, line ${i}`] = line
    })
  return needles
}

/** The line of an OpenSSH ed25519 key that holds the private half. */
function sshSecret(key: string): string {
  const line = key.split('\n')[4]
  if (!line || line.length < 60) throw new Error('not an OpenSSH ed25519 key')
  return line
}

/** 24 bytes without line ends and NULs. */
function piece(bytes: Buffer): Buffer {
  for (let i = 0; i + 24 <= bytes.length; i++) {
    const part = bytes.subarray(i, i + 24)
    if (!part.includes(0) && !part.includes(10)) return part
  }
  throw new Error('no piece of the key can be searched for')
}
