import { setTimeout as sleep } from 'node:timers/promises'
import { type ParseArgsConfig, parseArgs } from 'node:util'
import { $ } from 'zx'
import { type End, report, stop } from './ending.ts'
import { Fail } from './fail.ts'
import { Session } from './session.ts'

// Node gives its children sockets as stdin; a bash that finds one there and SHLVL under 2 takes itself for rshd's and runs ~/.bashrc.
process.env.SHLVL = '2'

// ZX_* variables of the operator's shell would change every command (a prefix, a verbose log with secrets in it).
Object.assign($, {
  verbose: false,
  quiet: true,
  // Closed: zx would leave it open, and takes '' for that too (8.8.5, processInput).
  input: Buffer.alloc(0),
  shell: '/bin/bash',
  prefix: 'set -euo pipefail;',
  postfix: '',
  cwd: undefined,
  detached: false,
  preferLocal: false,
  timeout: undefined,
  timeoutSignal: 'SIGTERM',
  killSignal: 'SIGTERM',
})

/** How long a script that was stopped in the middle may take to tidy up, milliseconds. */
const tidyUp = 20_000

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
  const stopped = stop()
  const work = body({ flags, words: positionals, session }).then(
    () => ({}),
    (error: unknown) => ({ error }),
  )
  const end: End = await Promise.race([work, stopped])
  const code = 'error' in end ? told(session, end.error) : 0
  if (end.early) {
    session.interrupt(new Fail('failed', 'interrupted'))
    await Promise.race([work, sleep(tidyUp)])
  }
  await session.end()
  if (code !== 0) session.release()
  process.exit(code)
}

function parseFlags<O extends Options>(program: Program<O>): Parsed<O> {
  try {
    const parsed = parseArgs({
      options: { ...program.options, ...common },
      allowPositionals: program.positionals ?? false,
      strict: true,
    })
    // An unset variable of a shell must not be taken for a flag that was not given.
    const empty = Object.entries(parsed.values).find(([, value]) => value === '')
    if (empty) throw new Error(`--${empty[0]} is empty`)
    if (parsed.positionals.some((word) => String(word) === '')) throw new Error('A word is empty')
    return parsed as unknown as Parsed<O>
  } catch (error) {
    const [message] = (error as Error).message.split(/\. To |\.?\n/)
    process.stderr.write(`${message}. See --help\n`)
    process.exit(2)
  }
}

function told(session: Session, error: unknown): number {
  session.release()
  return report(error)
}
