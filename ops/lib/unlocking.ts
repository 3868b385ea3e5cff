import { $ } from 'zx'
import { codes } from './exclusive.ts'
import { Fail } from './fail.ts'
import { mapped } from './header.ts'
import type { Host } from './host.ts'
import type { Session } from './session.ts'
import { sh } from './sh.ts'
import { pinned, sshFlags } from './ssh.ts'
import { leftPrompt } from './waiting-host.ts'

export { atPrompt } from './waiting-host.ts'

/** The unlock prompt of a host: Dropbear in its initramfs. */
export interface Prompt {
  /** argv of ssh, pinned to the initramfs' own host key. No shared connection: the machine behind it changes. */
  ssh: readonly string[]
  /** The host, as messages call it. */
  name: string
  address: string
  port: number
}

/** Seconds in which cryptroot-unlock has to answer; measured 7 to 19 in software emulation. */
const answerTime = 180

/**
 * The prompt of a host.
 * @param key path of the custodian's private key, or of the public half of one that the ssh agent holds; undefined: any key of the agent
 */
export function promptAt(address: string, port: number, knownHosts: string, key: string | undefined): Prompt {
  const options = sshFlags({
    ...pinned(knownHosts),
    // ~/.ssh/config may share connections: one that is open already would carry the passphrase past the pin.
    ControlPath: 'none',
    PreferredAuthentications: 'publickey',
    // The key's own passphrase may be asked for, at the terminal; the host's key never.
    ...(process.stdin.isTTY && { BatchMode: 'no' }),
  })
  const identity = key ? ['-i', key, '-o', 'IdentitiesOnly=yes'] : []
  const ssh = ['ssh', '-T', '-p', String(port), ...identity, ...options, `root@${address}`]
  return { ssh, name: address, address, port }
}

/**
 * Gives one passphrase to the prompt, once and without a newline, which would be part of it.
 * Returns when the host says that it is unlocked, or when it took the passphrase and left its prompt before it could say so.
 * @param patience seconds in which it has to leave the prompt then
 * @throws Fail `unverified`: a wrong passphrase. `refused`: a key that the prompt does not know. `noConnection`: no way
 *   there. `failed`: the prompt was not ready, and read nothing.
 */
export async function unlock(
  session: Session,
  prompt: Prompt,
  passphrase: string,
  patience = 120,
): Promise<void> {
  if (session.dryRun) return session.wouldRun('operator', `${prompt.ssh.join(' ')} < the passphrase`)
  const answer = await session.command(() =>
    $({ input: Buffer.from(passphrase) })`${prompt.ssh}`
      .nothrow()
      .quiet()
      .timeout(answerTime * 1000),
  )
  if (judge(prompt, answer.exitCode, answer.stdout, answer.stderr)) return
  session.say('  the connection ended before the answer came')
  if (await leftPrompt(prompt.address, prompt.port, patience)) return
  throw new Fail(
    'unverified',
    `${prompt.name} still waits at its prompt after ${patience} s: the passphrase is wrong, or did not arrive. It was tried once`,
  )
}

/**
 * What the answer of cryptroot-unlock means: true for unlocked, false when that has to be found out otherwise. The words are those of Debian's cryptsetup, the same in 2.6 and 2.7.
 * @see https://salsa.debian.org/cryptsetup-team/cryptsetup/-/blob/debian/latest/debian/initramfs/cryptroot-unlock
 */
export function judge(
  { name }: Pick<Prompt, 'name'>,
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

/** @throws Fail `unverified` when the root of a running system is not the unlocked disk */
export async function checkRoot(host: Host): Promise<void> {
  const answer = await host.probe(sh`source=$(findmnt -nro SOURCE / | head -n 1)
if [ "$source" != ${`/dev/mapper/${mapped}`} ]; then echo "its root is $source" >&2; exit ${codes.unverified}; fi
lsblk -snro TYPE "$source" | grep -qx crypt || { echo "its root is not encrypted" >&2; exit ${codes.unverified}; }`)
  if (answer.code === 0) return
  throw new Fail('unverified', `${host.name} runs, but not from the encrypted disk: ${answer.stderr.trim()}`)
}
