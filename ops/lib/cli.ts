import { type ParseArgsConfig, parseArgs } from 'node:util'
import { $, ProcessOutput } from 'zx'
import { Fail } from './fail.ts'
import { redact } from './redact.ts'
import { Session } from './session.ts'

// ZX_* variables of the operator's shell would change every command (a prefix, a verbose log with secrets in it).
Object.assign($, {
  verbose: false,
  quiet: true,
  prefix: 'set -euo pipefail;',
  shell: '/bin/bash',
  timeoutSignal: 'SIGTERM',
})

const common = {
  help: { type: 'boolean', short: 'h' },
  env: { type: 'string', default: '.env' },
  'dry-run': { type: 'boolean' },
  quiet: { type: 'boolean' },
} as const satisfies ParseArgsConfig['options']

const commonHelp = `  --env FILE      configuration (default .env)
  --dry-run       print every command it would run, change nothing
  --quiet         no progress unless it fails (cron sets OPS_QUIET=1)
  --help          this text

Exit codes
  0 done, 1 a step failed, 2 usage or configuration, 3 refused, 4 locked,
  5 no connection, 6 verification failed, 124 timed out, 130/143 interrupted
`

type Options = NonNullable<ParseArgsConfig['options']>

export interface Program<O extends Options> {
  /** The head of `--help`: what it does, what it changes, usage, its own flags. The common flags and the exit codes follow. */
  help: string
  options: O
  /** Words that may follow the flags; none when left out. */
  positionals?: boolean
}

type Parsed<O extends Options> = ReturnType<
  typeof parseArgs<{ options: O & typeof common; allowPositionals: true; strict: true }>
>

/** What a script's body gets: its flags and words, and the session that it reports to. */
export interface Call<O extends Options> {
  flags: Parsed<O>['values']
  words: string[]
  session: Session
}

/**
 * Runs a script: strict flags, `--help`, one line for an error, the documented exit code, clean-ups on every way out.
 * The only place that ends the process.
 */
export async function main<O extends Options>(
  program: Program<O>,
  body: (call: Call<O>) => Promise<void>,
): Promise<void> {
  const { values, positionals } = parseFlags(program)
  const flags = values as Parsed<O>['values'] & { help?: boolean; quiet?: boolean; 'dry-run'?: boolean }
  if (flags.help) {
    process.stdout.write(`${program.help.trim()}\n${commonHelp}`)
    return
  }
  const session = new Session({
    dryRun: flags['dry-run'] ?? false,
    quiet: flags.quiet ?? process.env.OPS_QUIET === '1',
  })
  onSignals(session)
  try {
    await body({ flags, words: positionals, session })
  } catch (error) {
    session.release()
    process.exitCode = report(error)
  } finally {
    await session.end()
  }
  process.exit()
}

function parseFlags<O extends Options>(program: Program<O>): Parsed<O> {
  try {
    return parseArgs({
      options: { ...program.options, ...common },
      allowPositionals: program.positionals ?? false,
      strict: true,
    }) as unknown as Parsed<O>
  } catch (error) {
    process.stderr.write(`${(error as Error).message.split('. To ')[0]}. See --help\n`)
    process.exit(2)
  }
}

/** Children share our process group, so Ctrl-C reaches them; a TERM to us alone is handed on by ending our connections. */
function onSignals(session: Session): void {
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    process.once(signal, async () => {
      session.say(`interrupted by ${signal}`)
      session.release()
      await session.end()
      process.exit(code)
    })
  }
}

function report(error: unknown): number {
  if (error instanceof Fail) {
    process.stderr.write(`error: ${redact(error.message)}\n`)
    return error.exitCode
  }
  if (error instanceof ProcessOutput) {
    const tail = (error.stderr || error.stdout).trim().split('\n').slice(-20).join('\n')
    process.stderr.write(`error: a command ended with ${error.exitCode ?? error.signal}\n${redact(tail)}\n`)
    return 1
  }
  process.stderr.write(
    `error: ${redact(error instanceof Error ? (error.stack ?? error.message) : String(error))}\n`,
  )
  return 1
}
