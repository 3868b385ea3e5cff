import { $ } from 'zx'
import { codes } from './exclusive.ts'
import { Fail } from './fail.ts'
import { mapped } from './header.ts'
import type { Host } from './host.ts'
import { answerTime, judge } from './prompt-answer.ts'
import type { Session } from './session.ts'
import { sh } from './sh.ts'
import { pinned, sshFlags } from './ssh.ts'
import { leftPrompt, started, whereIs } from './waiting-host.ts'

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
 * @param patience seconds in which a host that did not answer has to leave its prompt
 * @returns whether the host said that it is unlocked; else its prompt only does not answer any more
 * @throws Fail `unverified`: a wrong passphrase. `refused`: a key that the prompt does not know, or a host key that is
 *   not the pinned one. `noConnection`: no way there. `usage`: a key or a pin that is not there to be used. `failed`: the prompt
 *   was not ready, and read nothing.
 */
export async function unlock(
  session: Session,
  prompt: Prompt,
  passphrase: string,
  patience = 120,
): Promise<boolean> {
  if (session.dryRun) {
    session.wouldRun('operator', `${prompt.ssh.join(' ')} < the passphrase`)
    return true
  }
  const answer = await session.command(() =>
    $({ input: Buffer.from(passphrase) })`${prompt.ssh}`
      .nothrow()
      .quiet()
      .timeout(answerTime * 1000),
  )
  if (judge(prompt, answer.exitCode, answer.stdout, answer.stderr)) return true
  session.say('  the connection ended before the answer came')
  if (await leftPrompt(prompt.address, prompt.port, patience)) return false
  throw stillWaits(prompt, patience)
}

function stillWaits({ name }: Prompt, seconds: number): Fail {
  return new Fail(
    'unverified',
    `${name} still waits at its prompt after ${seconds} s: the passphrase is wrong, or did not arrive. It was tried once`,
  )
}

/**
 * Waits for the sshd of a host that was given its passphrase.
 * @param port of its sshd
 * @param said whether the host said that it is unlocked. If not, its network may have been away, and its prompt still there.
 * @throws Fail `unverified` when it stands at its prompt, `noConnection` when nothing answers
 */
export async function waitForSshd(
  prompt: Prompt,
  port: number,
  seconds: number,
  said: boolean,
): Promise<void> {
  const { name, address } = prompt
  if (await started(address, port, seconds)) return
  const waits = (await whereIs(address, { prompt: prompt.port, ssh: port }, 5)) === 'waiting'
  if (waits && !said) throw stillWaits(prompt, seconds)
  const took = said ? 'took the passphrase, but' : 'did not say whether it took the passphrase, and'
  throw new Fail(
    waits ? 'unverified' : 'noConnection',
    `${name} ${took} ${waits ? 'stands at its prompt again: it restarted' : `its sshd does not answer on port ${port} after ${seconds} s`}. Its console tells`,
  )
}

/** @throws Fail `unverified` when the root of a running system is not the unlocked disk */
export async function checkRoot(host: Host): Promise<void> {
  const answer = await host.probe(sh`source=$(findmnt -nro SOURCE / | head -n 1)
if [ "$source" != ${`/dev/mapper/${mapped}`} ]; then echo "its root is $source" >&2; exit ${codes.unverified}; fi
grep -qx crypt <<< "$(lsblk -snro TYPE "$source")" || { echo "its root is not encrypted" >&2; exit ${codes.unverified}; }`)
  if (answer.code === 0) return
  throw new Fail('unverified', `${host.name} runs, but not from the encrypted disk: ${answer.stderr.trim()}`)
}
