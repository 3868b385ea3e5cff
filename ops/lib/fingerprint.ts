import { randomBytes, scryptSync, timingSafeEqual } from 'node:crypto'

/** What tells a secret from another one and gives away neither: a salt and scrypt (RFC 7914) of it. */
export function fingerprintOf(secret: string, salt = randomBytes(16)): string {
  return `${salt.toString('hex')}:${scryptSync(secret, salt, 32).toString('hex')}\n`
}

/** Whether a fingerprint is that of a secret; one that is damaged is not. */
export function isFingerprint(text: string, secret: string): boolean {
  const [salt = '', hash = ''] = text.trim().split(':')
  if (!/^[0-9a-f]{32}$/.test(salt) || !/^[0-9a-f]{64}$/.test(hash)) return false
  const own = fingerprintOf(secret, Buffer.from(salt, 'hex')).trim()
  return timingSafeEqual(Buffer.from(own), Buffer.from(text.trim()))
}
