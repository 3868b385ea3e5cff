import { Fail } from './fail.ts'

/**
 * What the answer of cryptroot-unlock means: true for unlocked, false when that has to be found out otherwise. The words are those of Debian's cryptsetup, the same in 2.6 and 2.7.
 * @see https://salsa.debian.org/cryptsetup-team/cryptsetup/-/blob/debian/latest/debian/initramfs/cryptroot-unlock
 */
export function judge(
  { name }: { name: string },
  code: number | null,
  stdout: string,
  stderr: string,
): boolean {
  if (code === 0 || /set up successfully/.test(stderr)) return true
  const why = stderr.trim().split('\n').slice(-3).join('\n')
  if (/bad password or options|maximum number of tries exceeded/.test(stderr))
    throw new Fail(
      'unverified',
      `${name}: the passphrase is wrong. It was tried once; the host still waits. ${why}`,
    )
  if (/Try again later|waiting for askpass/.test(stderr))
    throw new Fail(
      'failed',
      `${name} does not ask for a passphrase yet, and read none. Run this again. ${why}`,
    )
  // The initramfs ends its connections when it goes on, sometimes before the answer is through; and it waits for ten seconds only.
  if (/Please unlock disk/.test(stdout) || /waiting for PID/.test(stderr)) return false
  if (/permission denied/i.test(stderr))
    throw new Fail(
      'refused',
      `${name} does not know this key, and was given no passphrase. It takes a custodian's: UNLOCK_SSH_KEY, or --as NAME. ${why}`,
    )
  if (/host key|HOST IDENTIFICATION/i.test(stderr))
    throw new Fail(
      'noConnection',
      `${name} does not have the key of UNLOCK_KNOWN_HOSTS, and was given no passphrase. Somebody may be in between: stop, and look at the server's console. ${why}`,
    )
  if (code === null || code === 255)
    throw new Fail('noConnection', `no connection to the prompt of ${name}: ${why}`)
  throw new Fail('failed', `${name} answered ${code}: ${why}`)
}
