import { spawn } from 'node:child_process'
import { chmodSync, copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import { secretsIn } from '../../ops/lib/env.ts'
import { exitCodes } from '../../ops/lib/fail.ts'
import { describe } from '../describe.ts'

const root = join(import.meta.dirname, '../..')
const fixtures = join(root, 'test/fixtures')
const dir = mkdtempSync(join(tmpdir(), 'cli-test-'))
const envFile = join(dir, 'good.env')
copyFileSync(join(fixtures, 'env/good.env'), envFile)
chmodSync(envFile, 0o600)

interface Ran {
  code: number | null
  out: string
  err: string
}

interface Options {
  env?: Record<string, string>
  /** Called with the process when stderr has said `ready`. */
  ready?: (pid: number) => void
  /** Argv in front of node's. */
  under?: string[]
  /** Close our end of its stdout at once. */
  deaf?: boolean
}

/** Starting a script costs half a second of processor time, so they run side by side while the tests wait for theirs. */
let free = 3
const waiting: (() => void)[] = []

async function run(script: string, args: string[] = [], options: Options = {}): Promise<Ran> {
  if (free-- <= 0) await new Promise<void>((go) => waiting.push(go))
  try {
    return await start(script, args, options)
  } finally {
    free++
    waiting.shift()?.()
  }
}

function start(script: string, args: string[], { env, ready, under = [], deaf }: Options): Promise<Ran> {
  const argv = [...under, process.execPath, '--import', 'tsx', join(fixtures, 'cli', script), ...args]
  const child = spawn(argv[0] ?? '', argv.slice(1), {
    cwd: root,
    env: { ...process.env, OPS_QUIET: '', NO_COLOR: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 40_000,
    killSignal: 'SIGKILL',
  })
  if (deaf) child.stdout.destroy()
  const ran: Ran = { code: null, out: '', err: '' }
  child.stdout.on('data', (data) => (ran.out += data))
  child.stderr.on('data', (data) => {
    const before = ran.err
    ran.err += data
    if (!before.includes('ready') && ran.err.includes('ready')) ready?.(child.pid ?? 0)
  })
  return new Promise((done, fail) => {
    child.once('error', fail)
    child.once('close', (code) => done({ ...ran, code }))
  })
}

/** The sleep that `endings.ts wait` runs; its argument holds the script's process id. */
function sleepOf(pid: number): string | undefined {
  return readdirSync('/proc').find((entry) => {
    const file = `/proc/${entry}/cmdline`
    return /^\d+$/.test(entry) && existsSync(file) && read(file) === ['sleep', `60.${pid}`, ''].join('\0')
  })
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

describe('flags', ({ test }) => {
  const unknown = run('flags.ts', ['--dryrun'])
  const help = run('flags.ts', ['--help'])
  const missing = run('flags.ts', ['--env', '--json'])
  const mixed = run('flags.ts', ['0123', '--app', '7e12345', 'word', '--json', '--', '--x'])
  const words = run('strict.ts', ['word'])
  const empty = run('flags.ts', ['--app', ''])
  const nothing = run('flags.ts', ['word', ''])

  test('a mistyped flag ends with 2 and is named', async () => {
    assert.equal(await unknown, { code: 2, out: '', err: "Unknown option '--dryrun'. See --help\n" })
  })

  test('--help prints the text, the common flags and every exit code on stdout, and ends with 0', async () => {
    const { code, out, err } = await help
    assert.is(code, 0)
    assert.is(err, '')
    assert.match(out, /^flags\.ts: says what it was called with\n/)
    for (const flag of ['--json', '--env FILE', '--dry-run', '--quiet', '--help'])
      assert.ok(out.includes(flag), flag)
    for (const code of [...Object.values(exitCodes), 130, 143]) assert.match(out, new RegExp(`\\b${code}\\b`))
  })

  test('--env does not swallow the next flag', async () => {
    assert.equal(await missing, {
      code: 2,
      out: '',
      err: "Option '--env' argument is ambiguous. See --help\n",
    })
  })

  test('an empty value is refused: a variable that is not set must not pass for a flag that was not given', async () => {
    assert.equal(await empty, { code: 2, out: '', err: '--app is empty. See --help\n' })
    assert.equal(await nothing, { code: 2, out: '', err: 'A word is empty. See --help\n' })
  })

  test('flags count after words too, and values stay text', async () => {
    const { code, out, err } = await mixed
    assert.is(code, 0)
    assert.is(err, 'looking\n')
    const expected = { app: '7e12345', json: true, env: '.env', words: ['0123', 'word', '--x'], dry: false }
    assert.equal(JSON.parse(out), expected)
  })

  test('a word where none is taken ends with 2', async () => {
    const { code, err } = await words
    assert.is(code, 2)
    assert.match(err, /^Unexpected argument 'word'\..* See --help\n$/)
  })
})

describe('confirmation', ({ test }) => {
  const unasked = run('confirm.ts')
  const wrong = run('confirm.ts', ['--confirm', 'db2'])
  const right = run('confirm.ts', ['--confirm', 'db1'])
  const terminal = (typed: string) => {
    const argv = `${process.execPath} --import tsx ${join(fixtures, 'cli/confirm.ts')}`
    const child = spawn('script', ['-qec', argv, '/dev/null'], { cwd: root, stdio: 'pipe', timeout: 40_000 })
    let said = ''
    child.stdout.on('data', (data) => {
      const before = said
      said += data
      if (!before.includes('to go on: ') && said.includes('to go on: ')) child.stdin.write(typed)
    })
    return new Promise<{ code: number | null; said: string }>((done) =>
      child.once('close', (code) => done({ code, said })),
    )
  }

  test('without a terminal it is refused with 3 and says how, instead of hanging', async () => {
    const { code, out, err } = await unasked
    assert.is(code, 3)
    assert.is(out, '')
    assert.is(err, 'error: There is no terminal to ask at. Run it in one, or pass --confirm db1\n')
  })

  test('--confirm with another name is refused with 3', async () => {
    const { code, out, err } = await wrong
    assert.equal([code, out], [3, ''])
    assert.match(err, /^error: This wipes db1\. Not confirmed: expected db1\. Nothing was changed\.\n$/)
  })

  test('--confirm with the name goes on', async () => {
    assert.equal(await right, { code: 0, out: 'wiped\n', err: '' })
  })

  test('at a terminal the name must be typed', async () => {
    const { code, said } = await terminal('db1\r')
    assert.is(code, 0, said)
    assert.match(said, /This wipes db1\.\r\nType db1 to go on: /)
    assert.match(said, /wiped/)
  })

  test('y is not a name, and Ctrl-C at the question ends with 130', async () => {
    const [y, interrupted] = await Promise.all([terminal('y\r'), terminal('\x03')])
    assert.is(y.code, 3, y.said)
    assert.is(interrupted.code, 130, interrupted.said)
    assert.not.match(y.said + interrupted.said, /wiped/)
  })
})

describe('endings', ({ test, after }) => {
  after(() => rmSync(dir, { recursive: true, force: true }))
  const ending = (args: string[], options?: Options) =>
    run('endings.ts', ['--env', envFile, ...args], options)
  const cleanUps = 'clean-up 2\nclean-up 1\n'

  const well = ending(['well'])
  const failed = ending(['fail', 'unverified', '--quiet'])
  const secrets = ending(['secrets'])
  const command = ending(['command'])
  const prefix = ending(['prefix'], {
    env: {
      ZX_PREFIX: 'echo INJECTED;',
      ZX_POSTFIX: '; echo INJECTED',
      ZX_VERBOSE: 'true',
      ZX_SHELL: '/bin/false',
      ZX_CWD: '/tmp',
      ZX_TIMEOUT: '1ms',
      ZX_DETACHED: 'true',
    },
  })
  const unread = ending(['unread'])
  const unawaited = ending(['unawaited'])
  const elsewhere = ending(['thrownElsewhere'])
  const never = ending(['never'])
  const flood = ending(['flood'], { deaf: true })
  const brokenCleanUp = ending(['brokenCleanUp'], { env: { OPS_QUIET: '1' } })
  const next = ending(['sleepWithoutCommand'], { ready: (pid) => process.kill(pid, 'SIGHUP') })
  const interruption = (signal: NodeJS.Signals) => {
    let pid = 0
    const ready = async (child: number) => {
      pid = child
      for (let i = 0; i < 100 && !sleepOf(child); i++) await sleep(50)
      process.kill(child, signal)
    }
    return ending(['wait'], { ready }).then((ran) => ({ ...ran, left: sleepOf(pid) }))
  }
  const signals = { SIGINT: 130, SIGTERM: 143 } as const
  const interrupted = Object.entries(signals).map(
    ([signal, code]) => [signal, code, interruption(signal as NodeJS.Signals)] as const,
  )

  test('progress goes to stderr with its time, and the clean-ups run, the last one first', async () => {
    const { code, out, err } = await well
    assert.equal([code, out], [0, ''])
    assert.match(err, /^begun\n✓ one thing \d+\.\d s\nclean-up 2\nclean-up 1\n$/)
  })

  test('a Fail ends with the code of its outcome and no stack; --quiet prints then what it kept back', async () => {
    const err = `begun\nerror: expected, and how to mend it\n${cleanUps}`
    assert.equal(await failed, { code: 6, out: '', err })
  })

  test('no secret of the .env gets out: not as progress, result, or in an error', async () => {
    const { code, out, err } = await secrets
    assert.is(code, 1)
    for (const [name, value] of Object.entries(secretsIn(envFile))) {
      assert.not.ok((out + err).includes(value), name)
      assert.is((out + err).split(`[${name}]`).length, 4, `${name} is named once in each`)
    }
  })

  test('a command that fails ends with 1 and shows the end of what it said, redacted', async () => {
    const { code, err } = await command
    assert.is(code, 1)
    assert.match(err, /error: a command ended with 7\n82\n83\n/)
    assert.match(err, /\n100\n\[DB_PASSWORD\]\nclean-up 2/)
    assert.not.match(err, /\n81\n/)
  })

  test('ZX_* variables change nothing', async () => {
    assert.equal(await prefix, { code: 0, out: `plain\n${root}\n\n`, err: `begun\n${cleanUps}` })
  })

  test('a command that does not read its input does not break the script', async () => {
    assert.equal(await unread, { code: 0, out: 'it ended with 4\n', err: `begun\n${cleanUps}` })
  })

  test('a command that nobody awaits fails the script, and the clean-ups run', async () => {
    const { code, err } = await unawaited
    assert.is(code, 1)
    assert.is(err, `begun\nerror: a command ended with 9\n${cleanUps}`)
  })

  test('an error thrown outside fails the script, and the clean-ups run', async () => {
    const { code, err } = await elsewhere
    assert.is(code, 1)
    assert.match(err, /^begun\nerror: Error: thrown elsewhere\n {4}at [\s\S]*\nclean-up 2\nclean-up 1\n$/)
  })

  test('waiting for what never comes is an error', async () => {
    const err = `begun\nerror: the script waits for something that never comes\n${cleanUps}`
    assert.equal(await never, { code: 1, out: '', err })
  })

  test('a reader of stdout that goes away does not end the script in the middle', async () => {
    assert.equal(await flood, { code: 0, out: '', err: `begun\nflooded\n${cleanUps}` })
  })

  test('OPS_QUIET=1 keeps progress back, but not a clean-up that breaks; the others still run', async () => {
    assert.equal(await brokenCleanUp, { code: 0, out: '', err: `clean-up: this clean-up broke\n${cleanUps}` })
  })

  for (const [signal, code, ran] of interrupted) {
    test(`${signal} ends the running command, lets the script tidy up, and ends with ${code}`, async () => {
      const { left, ...rest } = await ran
      const err = `begun\nready\ninterrupted by ${signal}\ntidied up\n${cleanUps}`
      assert.equal(rest, { code, out: '', err })
      assert.is(left, undefined, 'the command still runs')
    })
  }

  test('an interruption between two commands ends the script at the next one', async () => {
    assert.equal(await next, { code: 129, out: '', err: `begun\nready\ninterrupted by SIGHUP\n${cleanUps}` })
  })
})
