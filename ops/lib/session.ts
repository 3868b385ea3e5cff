import { styleText } from 'node:util'
import type { ProcessOutput, ProcessPromise } from 'zx'
import { Fail } from './fail.ts'
import { redact } from './redact.ts'

export interface SessionOptions {
  /** Print what would be done, change nothing. */
  dryRun: boolean
  /** Keep progress back and print it only when the script fails (cron). */
  quiet: boolean
}

/** One run of one script: what it tells the operator. Progress goes to stderr, results to stdout, both redacted. */
export class Session {
  readonly dryRun: boolean
  readonly #quiet: boolean
  readonly #kept: string[] = []
  readonly #cleanups: (() => unknown)[] = []
  readonly #running = new Set<ProcessPromise>()
  readonly #asking = new AbortController()
  #interruption: Fail | undefined

  constructor(options: SessionOptions) {
    this.dryRun = options.dryRun
    this.#quiet = options.quiet
  }

  /** A line of progress. */
  say(line: string): void {
    if (this.#quiet) this.#kept.push(line)
    else process.stderr.write(`${redact(line)}\n`)
  }

  /** A line of the result; the only thing that goes to stdout. */
  result(line: string): void {
    process.stdout.write(`${redact(line)}\n`)
  }

  /** A command that a dry run does not run. */
  wouldRun(where: string, command: string): void {
    this.result(`[${where}] ${command}`)
  }

  /** One step of the runbook: its title, then how long it took. A failure names the step. */
  async step<T>(title: string, work: () => Promise<T>): Promise<T> {
    const start = performance.now()
    try {
      const value = await work()
      this.say(`${paint('green', '✓')} ${title} ${paint('gray', seconds(start))}`)
      return value
    } catch (error) {
      this.say(`${paint('red', '✗')} ${title} ${paint('gray', seconds(start))}`)
      throw error
    }
  }

  /**
   * Stops the script in the middle: ends the command that runs, or else the next one, with this failure.
   * The commands after that one go through, so that the script can tidy up.
   */
  interrupt(failure: Fail): void {
    this.#interruption = failure
    this.#asking.abort()
    for (const process of this.#running) process.kill().catch(() => {})
  }

  /** Runs a command that an interruption may end. */
  async command(start: () => ProcessPromise): Promise<ProcessOutput> {
    this.#strike()
    const process = start()
    // A command that ends before it has read its input is judged by its exit code, not by our broken pipe.
    process.stdin?.on('error', () => {})
    this.#running.add(process)
    const output = await process.finally(() => this.#running.delete(process))
    this.#strike()
    return output
  }

  #strike(): void {
    const failure = this.#interruption
    this.#interruption = undefined
    if (failure) throw failure
  }

  /** Something to do when the script ends, however it ends; the last one registered runs first. */
  atEnd(cleanup: () => unknown): void {
    this.#cleanups.unshift(cleanup)
  }

  /** Runs the clean-ups. A clean-up that fails is told, never hides the script's own error. */
  async end(): Promise<void> {
    this.#interruption = undefined
    for (const cleanup of this.#cleanups.splice(0)) {
      try {
        await cleanup()
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error)
        process.stderr.write(`clean-up: ${redact(message)}\n`)
      }
    }
  }

  /** What was held back by `quiet`, for the mail that cron sends about a failure. */
  release(): void {
    for (const line of this.#kept.splice(0)) process.stderr.write(`${redact(line)}\n`)
  }

  /**
   * Asks the operator to type the name of what cannot be undone.
   * @param typed the value of `--confirm`, if it was given; it stands for typing
   * @throws Fail `refused` when another name is typed, or when there is no terminal to ask at
   */
  async confirm(name: string, consequence: string, typed: string | undefined): Promise<void> {
    if (this.dryRun) return
    const answer = typed ?? (await ask(`${consequence}\nType ${name} to go on: `, name, this.#asking.signal))
    if (answer !== name)
      throw new Fail('refused', `${consequence} Not confirmed: expected ${name}. Nothing was changed.`)
  }
}

async function ask(question: string, name: string, signal: AbortSignal): Promise<string> {
  if (!process.stdin.isTTY) {
    throw new Fail('refused', `There is no terminal to ask at. Run it in one, or pass --confirm ${name}`)
  }
  const { createInterface } = await import('node:readline/promises')
  const reader = createInterface({ input: process.stdin, output: process.stderr })
  reader.once('SIGINT', () => process.kill(process.pid, 'SIGINT'))
  const closed = new Promise<string>((done) => reader.once('close', () => done('')))
  const answer = await Promise.race([reader.question(question, { signal }).catch(() => ''), closed])
  reader.close()
  return answer.trim()
}

function seconds(start: number): string {
  return `${((performance.now() - start) / 1000).toFixed(1)} s`
}

function paint(colour: 'green' | 'red' | 'gray', text: string): string {
  return process.stderr.isTTY && !process.env.NO_COLOR ? styleText(colour, text) : text
}
