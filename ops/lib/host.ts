import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { $, type ProcessPromise } from 'zx'
import { type Picked, pathIn } from './env.ts'
import { Fail } from './fail.ts'
import type { Session } from './session.ts'
import { type Script, sh } from './sh.ts'

/** An empty stdin that ends. zx takes an empty string for none and leaves stdin open (zx 8.8.5, processInput). */
const nothing = Buffer.alloc(0)

export interface RunOptions {
  /** What the command reads on stdin: data and secrets travel here, never in argv. Default: nothing. */
  input?: string | Buffer
  /** Ends the command on the host after so many seconds, with exit code 124. Default 120. 0: no limit. */
  timeout?: number
}

export interface Answer {
  code: number
  stdout: string
  stderr: string
}

export const hostNames = [
  'SERVER_HOST',
  'SERVER_USER',
  'SERVER_SSH_PORT',
  'SERVER_KNOWN_HOSTS',
  'SERVER_SSH_KEY',
] as const

/** A machine that runs scripts: this one, or one behind OpenSSH's own `ssh`. Both answer alike. */
export class Host {
  readonly name: string
  readonly #session: Session
  /** argv in front of a command; empty for this machine. */
  readonly #ssh: readonly string[]

  constructor(name: string, ssh: readonly string[], session: Session) {
    this.name = name
    this.#ssh = ssh
    this.#session = session
  }

  get isLocal(): boolean {
    return this.#ssh.length === 0
  }

  /** The argv that runs a script here, for a pipeline that a caller builds. Nothing in it is secret. */
  argv(script: Script, timeout = 120): string[] {
    const bash = ['bash', '-euo', 'pipefail', '-c', script.text]
    const bounded = timeout > 0 ? ['timeout', '-k', '5', String(timeout), ...bash] : bash
    return this.isLocal ? bounded : [...this.#ssh, sh`${bounded}`.text]
  }

  /** The argv of `ssh` itself for other uses of the same connection (a forward, a control command). */
  get sshArgv(): readonly string[] {
    return this.#ssh
  }

  /** Runs a script that changes nothing; a dry run runs it too. Returns stdout without the last newline. */
  async read(script: Script, options: RunOptions = {}): Promise<string> {
    return this.#good(script, await this.probe(script, options))
  }

  /** Runs a script that changes something; a dry run prints it instead and answers with nothing. */
  async run(script: Script, options: RunOptions = {}): Promise<string> {
    if (!this.#session.dryRun) return this.read(script, options)
    this.#session.wouldRun(this.name, script.text)
    return ''
  }

  /** Runs a read-only script and answers with its exit code instead of throwing. Only a lost connection throws. */
  async probe(script: Script, options: RunOptions = {}): Promise<Answer> {
    const timeout = options.timeout ?? 120
    return this.#command(
      script,
      timeout,
      () => $({ input: options.input || nothing })`${this.argv(script, timeout)}`,
    )
  }

  async #command(script: Script, timeout: number, start: () => ProcessPromise): Promise<Answer> {
    const output = await this.#session.command(() => {
      const process = start().nothrow().quiet()
      return timeout > 0 ? process.timeout((timeout + 30) * 1000) : process
    })
    if (output.exitCode === null) throw new Fail('timedOut', `${this.name}: ${first(script)} did not end`)
    if (output.exitCode === 255 && !this.isLocal)
      throw new Fail('noConnection', noConnection(this.name, output.stderr))
    return { code: output.exitCode, stdout: output.stdout, stderr: output.stderr }
  }

  /**
   * Feeds a local program's output to a script on the host. The bytes pass from pipe to pipe, never through Node.
   * @param source argv of the local program
   */
  async feed(source: readonly string[], script: Script, timeout = 3600): Promise<void> {
    if (this.#session.dryRun) return this.#session.wouldRun(this.name, `${source.join(' ')} | ${script.text}`)
    const pipe = () => $({ input: nothing })`${source} | ${this.argv(script, timeout)}`
    this.#good(script, await this.#command(script, timeout, pipe))
  }

  #good(script: Script, answer: Answer): string {
    if (answer.code === 124)
      throw new Fail('timedOut', `${this.name}: no end in the time it has: ${first(script)}`)
    if (answer.code !== 0)
      throw new Fail('failed', `${this.name}: ${first(script)} ended with ${answer.code}${tail(answer)}`)
    return answer.stdout.replace(/\n$/, '')
  }

  /**
   * Writes a file whole or not at all: beside its place first, then renamed over it. A connection that breaks off
   * looks like the end of the file over there, so the bytes are counted.
   * @param owner uid of the reader; root when left out
   */
  async put(path: string, content: string | Buffer, { mode = '0400', owner = 0 } = {}): Promise<void> {
    const part = `${path}.part`
    await this.run(
      sh`umask 077; mkdir -p ${dirname(path)}
cat > ${part}; bytes=$(wc -c < ${part}); test "$bytes" -eq ${Buffer.byteLength(content)}
chown ${`${owner}:${owner}`} ${part}; chmod ${mode} ${part}; mv -f ${part} ${path}`,
      { input: content },
    )
  }
}

/**
 * The server of a `.env`: this machine when SERVER_HOST is `local`, else an ssh connection that is opened once and shared.
 * @throws Fail `usage` when the server's host key is not pinned, or a file that the `.env` names is not there
 */
export function serverOf(envFile: string, env: Picked<(typeof hostNames)[number]>, session: Session): Host {
  if (env.SERVER_HOST === 'local') return new Host('local', [], session)
  if (!env.SERVER_KNOWN_HOSTS) {
    throw new Fail(
      'usage',
      `${envFile}:\n  SERVER_KNOWN_HOSTS is missing: path of a known_hosts file with the server's key`,
    )
  }
  const knownHosts = existing(envFile, 'SERVER_KNOWN_HOSTS', env.SERVER_KNOWN_HOSTS)
  const key = env.SERVER_SSH_KEY
    ? ['-i', existing(envFile, 'SERVER_SSH_KEY', env.SERVER_SSH_KEY), '-o', 'IdentitiesOnly=yes']
    : []
  // The path of a socket has 104 bytes at most, so TMPDIR may be too long.
  const sockets = mkdtempSync('/tmp/ops-')
  const options = {
    BatchMode: 'yes',
    StrictHostKeyChecking: 'yes',
    UserKnownHostsFile: knownHosts,
    GlobalKnownHostsFile: '/dev/null',
    ConnectTimeout: '10',
    ServerAliveInterval: '15',
    ServerAliveCountMax: '4',
    ControlMaster: 'auto',
    ControlPath: `${sockets}/%C`,
    ControlPersist: '60',
    LogLevel: 'ERROR',
  }
  const flags = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`])
  const ssh = ['ssh', '-p', env.SERVER_SSH_PORT, ...key, ...flags, `${env.SERVER_USER}@${env.SERVER_HOST}`]
  session.atEnd(async () => {
    await $({ nothrow: true, quiet: true, input: nothing, timeout: 5000 })`${ssh} -O exit`
    rmSync(sockets, { recursive: true, force: true })
  })
  return new Host(env.SERVER_HOST, ssh, session)
}

function existing(envFile: string, name: string, path: string): string {
  const file = pathIn(envFile, path)
  if (!existsSync(file)) throw new Fail('usage', `${envFile}:\n  ${name} names ${file}, which does not exist`)
  return file
}

/** What ssh's 255 means, and the mend. The wording of the causes is OpenSSH's own. */
function noConnection(name: string, stderr: string): string {
  const cause = stderr.trim().split('\n').slice(-3).join('\n')
  const mend = /host key|HOST IDENTIFICATION/i.test(stderr)
    ? "The server's key is not the pinned one. If the server was rebuilt, check the new key out of band and put it in SERVER_KNOWN_HOSTS. If not, somebody may be in between: stop."
    : /permission denied/i.test(stderr)
      ? 'The server refused the key. Check SERVER_USER and SERVER_SSH_KEY, or the ssh agent.'
      : 'Check SERVER_HOST and SERVER_SSH_PORT, and whether the server waits for its disk to be unlocked after a reboot (runbooks/).'
  return `no connection to ${name}: ${cause}\n${mend}`
}

function first(script: Script): string {
  const line = script.text.split('\n').find((text) => text.trim() !== '') ?? ''
  return line.length > 100 ? `${line.slice(0, 100)}…` : line
}

function tail({ stderr, stdout }: Answer): string {
  const text = (stderr.trim() || stdout.trim()).split('\n').slice(-20).join('\n')
  return text ? `\n${text}` : ''
}
