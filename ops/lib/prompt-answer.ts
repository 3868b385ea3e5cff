import { Fail } from './fail.ts'

/** Seconds in which cryptroot-unlock has to answer; measured 7 to 19 in software emulation. */
export const answerTime = 180

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
  const nothing = 'and was given no passphrase'
  if (/permission denied/i.test(stderr) && /^Load key /m.test(stderr))
    throw new Fail(
      'usage',
      `ssh could not use your private key; ${name} refused what it tried, ${nothing}. A key that others can read: chmod 600. A .pub needs the ssh agent with its other half. ${why}`,
    )
  if (/permission denied/i.test(stderr))
    throw new Fail(
      'refused',
      `${name} does not know this key, ${nothing}. It takes a custodian's: UNLOCK_SSH_KEY, or --as NAME. A key with a passphrase of its own needs a terminal or the ssh agent. ${why}`,
    )
  if (/no matching host key type/i.test(stderr))
    throw new Fail(
      'noConnection',
      `this ssh takes no kind of host key that ${name} has; the host was not verified, ${nothing}. Run this from a machine with a newer ssh. ${why}`,
    )
  if (/host key|HOST IDENTIFICATION/i.test(stderr))
    throw new Fail(
      'refused',
      `${name} does not have the key of UNLOCK_KNOWN_HOSTS, ${nothing}. Somebody may be in between: stop, and look at the server's console. ${why}`,
    )
  if (code === null || code === 255)
    throw new Fail(
      'noConnection',
      `no connection to the prompt of ${name}: ${why || `no answer, in ${answerTime} s at most`}. Run this again: it looks first where the host is`,
    )
  throw new Fail(
    'failed',
    `${name} answered ${code}, which is no answer of an unlock prompt. Its console asks for the passphrase too. ${why}`,
  )
}
