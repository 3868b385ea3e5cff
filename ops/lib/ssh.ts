import { $ } from 'zx'
import { fileIn, type Picked } from './env.ts'
import { Fail } from './fail.ts'
import { privateDir } from './private-dir.ts'
import type { Session } from './session.ts'

/** What it takes to reach the server. */
export const hostNames = [
  'SERVER_HOST',
  'SERVER_USER',
  'SERVER_SSH_PORT',
  'SERVER_KNOWN_HOSTS',
  'SERVER_SSH_KEY',
] as const

export type HostEnv = Picked<(typeof hostNames)[number]>

/**
 * The argv of OpenSSH's own `ssh` for a server. Its commands share one connection, which ends with the session.
 * @throws Fail `usage` when the server's host key is not pinned, or a file that the `.env` names is not there
 */
export function sshOf(envFile: string, env: HostEnv, session: Session): string[] {
  if (!env.SERVER_KNOWN_HOSTS) {
    throw new Fail(
      'usage',
      `${envFile}:\n  SERVER_KNOWN_HOSTS is missing: path of a known_hosts file with the server's key`,
    )
  }
  const knownHosts = fileIn(envFile, 'SERVER_KNOWN_HOSTS', env.SERVER_KNOWN_HOSTS)
  const key = env.SERVER_SSH_KEY
    ? ['-i', fileIn(envFile, 'SERVER_SSH_KEY', env.SERVER_SSH_KEY), '-o', 'IdentitiesOnly=yes']
    : []
  // The path of a socket has 104 bytes at most, so TMPDIR may be too long.
  const sockets = privateDir(session, '/tmp')
  const shared = { ControlMaster: 'auto', ControlPath: `${sockets}/%C`, ControlPersist: '60' }
  const flags = sshFlags({ ...pinned(knownHosts), ...shared })
  const ssh = ['ssh', '-p', env.SERVER_SSH_PORT, ...key, ...flags, `${env.SERVER_USER}@${env.SERVER_HOST}`]
  session.atEnd(() => $({ nothrow: true, quiet: true, timeout: 5000 })`${ssh} -O exit`)
  return ssh
}

/** ssh's options for a connection that asks nobody and trusts no key but the pinned one. */
export function pinned(knownHosts: string): Record<string, string> {
  return {
    BatchMode: 'yes',
    StrictHostKeyChecking: 'yes',
    // ssh splits this value at blanks.
    UserKnownHostsFile: `"${knownHosts}"`,
    GlobalKnownHostsFile: '/dev/null',
    ConnectTimeout: '10',
    ServerAliveInterval: '15',
    ServerAliveCountMax: '4',
    LogLevel: 'ERROR',
  }
}

/** Options as ssh takes them in argv. */
export function sshFlags(options: Record<string, string>): string[] {
  return Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`])
}

/**
 * What ssh's 255 means, and the mend. The wording of the causes is OpenSSH's own.
 * @param whose which settings name the way there
 */
export function noConnection(
  name: string,
  stderr: string,
  whose: 'SERVER' | 'STORAGEBOX' = 'SERVER',
): string {
  const cause = stderr.trim().split('\n').slice(-3).join('\n')
  const mend = /host key|HOST IDENTIFICATION/i.test(stderr)
    ? `The key of ${name} is not the pinned one. If it was rebuilt, check the new key out of band and put it in ${whose}_KNOWN_HOSTS. If not, somebody may be in between: stop.`
    : /permission denied/i.test(stderr)
      ? `${name} refused the key. Check ${whose}_USER and ${whose}_SSH_KEY, or the ssh agent.`
      : whose === 'SERVER'
        ? 'Check SERVER_HOST and SERVER_SSH_PORT, and whether the server waits for its disk to be unlocked after a reboot (runbooks/unlock-after-reboot.md).'
        : 'Check STORAGEBOX_HOST and STORAGEBOX_PORT, and that ssh is allowed for this account in the console.'
  return `no connection to ${name}: ${cause}\n${mend}`
}
