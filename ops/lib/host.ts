import { dirname } from 'node:path'
import { $, type ProcessPromise } from 'zx'
import { Fail } from './fail.ts'
import type { Session } from './session.ts'
import { type Script, sh } from './sh.ts'
import { type HostEnv, noConnection, sshOf } from './ssh.ts'

export { hostNames } from './ssh.ts'

/** An empty stdin that ends. zx takes an empty string for none and leaves stdin open (zx 8.8.5, processInput). */
const nothing = Buffer.alloc(0)

export interface RunOptions {
  /** What the command reads on stdin: data and secrets travel here, never in argv. Default: nothing. */
  input?: string | Buffer
  /** Ends the command on the host after so many seconds, with exit code 124. Default 120. 0: no limit. */
  timeout?: number
}

export type Answer = { code: number; stdout: string; stderr: string }

/** A machine that runs scripts: this one, or one behind OpenSSH's own `ssh`. Both answer alike. */
export class Host {
  readonly name: string
  readonly #session: Session
  /** The first command, which opens the shared connection; those beside it wait, or each would open its own. */
  #first: Promise<unknown> | undefined
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
    if (this.#first) await this.#first
    const running = this.#session.command(() => {
      const process = start().nothrow().quiet()
      return timeout > 0 ? process.timeout((timeout + 30) * 1000) : process
    })
    this.#first ??= running.catch(() => {})
    const output = await running
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
chown ${`${owner}:${owner}`} ${part}; chmod ${mode} ${part}; sync ${part}; mv -f ${part} ${path}; sync ${dirname(path)}`,
      { input: content },
    )
  }
}

/**
 * The server of a `.env`: this machine when SERVER_HOST is `local`, else an ssh connection that is opened once and shared.
 * @throws Fail `usage` when the server's host key is not pinned, or a file that the `.env` names is not there
 */
export function serverOf(envFile: string, env: HostEnv, session: Session): Host {
  if (env.SERVER_HOST === 'local') return new Host('local', [], session)
  return new Host(env.SERVER_HOST, sshOf(envFile, env, session), session)
}

function first(script: Script): string {
  const line = script.text.split('\n').find((text) => text.trim() !== '') ?? ''
  return line.length > 100 ? `${line.slice(0, 100)}…` : line
}

function tail({ stderr, stdout }: Answer): string {
  const text = (stderr.trim() || stdout.trim()).split('\n').slice(-20).join('\n')
  return text ? `\n${text}` : ''
}
