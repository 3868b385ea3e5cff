import { ProcessOutput } from 'zx'
import { Fail } from './fail.ts'
import { redact } from './redact.ts'

/** How a script ended: with an error or without, and whether its body is still at work. */
export interface End {
  error?: unknown
  early?: boolean
}

class Interrupted extends Error {
  readonly exitCode: number

  constructor(signal: string, exitCode: number) {
    super(`interrupted by ${signal}`)
    this.exitCode = exitCode
  }
}

/**
 * Who read what we write went away: `| head`, a closed terminal, a command that ended before it read its stdin.
 * None of that may end a deploy in the middle; a command's exit code tells what became of it.
 */
const readerGone: unknown[] = ['EPIPE', 'EIO']

/** What ends a script before its body does: a signal, an error that nobody awaits, or nothing left to wait for. */
export function stop(): Promise<End> {
  return new Promise((done) => {
    const early = (error: unknown) => done({ error, early: true })
    process.once('SIGINT', (signal) => early(new Interrupted(signal, 130)))
    process.once('SIGTERM', (signal) => early(new Interrupted(signal, 143)))
    process.once('SIGHUP', (signal) => early(new Interrupted(signal, 129)))
    process.on('uncaughtException', (error: NodeJS.ErrnoException) => {
      if (!readerGone.includes(error.code)) early(error)
    })
    process.on('unhandledRejection', early)
    process.once('beforeExit', () =>
      done({ error: new Fail('failed', 'the script waits for something that never comes') }),
    )
  })
}

/** Tells the operator what ended the script, redacted; answers with the exit code. */
export function report(error: unknown): number {
  if (error instanceof Fail) {
    process.stderr.write(`error: ${redact(error.message)}\n`)
    return error.exitCode
  }
  if (error instanceof Interrupted) {
    process.stderr.write(`${error.message}\n`)
    return error.exitCode
  }
  if (error instanceof ProcessOutput) {
    const tail = (error.stderr || error.stdout).trim().split('\n').slice(-20).join('\n')
    const message = `a command ended with ${error.exitCode ?? error.signal}\n${redact(tail)}`
    process.stderr.write(`error: ${message.trim()}\n`)
    return 1
  }
  process.stderr.write(
    `error: ${redact(error instanceof Error ? (error.stack ?? error.message) : String(error))}\n`,
  )
  return 1
}
