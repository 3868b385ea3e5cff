/** What every script promises before it does anything: help, strict flags, a checked `.env`, an end when nobody answers. */
import { spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { secretsIn } from '../../ops/lib/env.ts'
import { describe } from '../describe.ts'
import { labPath } from '../lab/shell.ts'
import { lab } from '../lab/world.ts'

const root = join(import.meta.dirname, '../..')
const good = readFileSync(join(root, 'test/fixtures/env/good.env'), 'utf8')

/** Each script: words that make it go to the server at once, and a required name of its `.env`, left out and malformed. */
const scripts = {
  build: { words: undefined, name: 'NEXT_PUBLIC_APP_URL', bad: 'NEXT_SERVER_ACTIONS_ENCRYPTION_KEY' },
  bootstrap: { words: [], name: 'SERVER_HOST', bad: 'STORAGEBOX_PORT' },
  deploy: { words: ['--rollback'], name: 'SERVER_HOST', bad: 'DB_APP_PASSWORD' },
  backup: { words: [], name: 'SERVER_HOST', bad: 'STORAGEBOX_PORT' },
  'restore-dump': { words: ['--undo', '--confirm', '127.0.0.1'], name: 'SERVER_HOST', bad: 'STORAGEBOX_DIR' },
  restore: { words: ['--undo', '--confirm', '127.0.0.1'], name: 'STORAGEBOX_HOST', bad: 'SERVER_SSH_PORT' },
  'provision-luks': { words: ['--custodians', 'list'], name: 'SERVER_HOST', bad: 'LUKS_MEMORY' },
  status: { words: [], name: 'PUBLIC_IPV4', bad: 'NEXT_PUBLIC_ROOT_DOMAIN' },
}
const malformed = "malformed value ' of a canary"

interface Ran {
  code: number | string | null
  out: string
  err: string
  seconds: number
}

/** Starting a script costs half a second of processor time, so they run side by side while the tests wait for theirs. */
let free = 3
const waiting: (() => void)[] = []

async function run(script: string, args: string[]): Promise<Ran> {
  if (free-- <= 0) await new Promise<void>((go) => waiting.push(go))
  try {
    return await start(script, args)
  } finally {
    free++
    waiting.shift()?.()
  }
}

function start(script: string, args: string[]): Promise<Ran> {
  const begun = performance.now()
  const child = spawn(process.execPath, ['--import', 'tsx', `ops/${script}.ts`, ...args], {
    cwd: root,
    env: { ...process.env, OPS_QUIET: '', NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 40_000,
    killSignal: 'SIGKILL',
  })
  const ran: Ran = { code: null, out: '', err: '', seconds: 0 }
  child.stdout.on('data', (data) => (ran.out += data))
  child.stderr.on('data', (data) => (ran.err += data))
  return new Promise((done, fail) => {
    child.on('error', fail)
    child.on('close', (code, signal) =>
      done({ ...ran, code: code ?? signal, seconds: (performance.now() - begun) / 1000 }),
    )
  })
}

/** A port of the loopback where nobody listens: it was ours a moment ago. */
function closedPort(): Promise<number> {
  return new Promise((done) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => done(port))
    })
  })
}

describe('every script', { timeout: 120_000 }, ({ test, before, after }) => {
  const dir = mkdtempSync(join(tmpdir(), 'contract-test-'))
  const file = (name: string, text: string, mode = 0o600) => {
    const path = join(dir, name)
    writeFileSync(path, text)
    chmodSync(path, mode)
    return path
  }
  const set = (text: string, values: Record<string, string>) =>
    Object.entries(values).reduce(
      (all, [name, value]) => all.replace(new RegExp(`^${name}=.*$`, 'm'), () => `${name}=${value}`),
      text,
    )
  const runs = new Map<string, Promise<Ran>>()
  const ran = (script: string, what: string) => runs.get(`${script} ${what}`) as Promise<Ran>
  const all = Object.entries(scripts)
  let values: string[] = []

  before(async () => {
    const key = file('key', 'not a key\n')
    const port = await closedPort()
    const nobody = file(
      'nobody.env',
      set(good, {
        SERVER_HOST: '127.0.0.1',
        SERVER_SSH_PORT: String(port),
        SERVER_KNOWN_HOSTS: key,
        SERVER_SSH_KEY: key,
        STORAGEBOX_SSH_KEY: key,
        STORAGEBOX_KNOWN_HOSTS: key,
        BACKUP_GPG_RECIPIENTS: ['a', 'b']
          .map((name) => labPath('recipients', `custodian-${name}.asc`))
          .join(),
        BACKUP_GPG_PASSPHRASE: '',
        TRUSTED_ROOT: key,
        PUBLIC_CA: key,
      }),
    )
    const { address } = lab().server
    const boxKey = readFileSync(labPath('keys', 'box_host.pub'), 'utf8')
    const stranger = file(
      'stranger.env',
      set(readFileSync(nobody, 'utf8'), {
        SERVER_HOST: address,
        SERVER_SSH_PORT: '22',
        SERVER_KNOWN_HOSTS: file('other_known_hosts', `${address} ${boxKey}`),
        SERVER_SSH_KEY: labPath('keys', 'operator'),
      }),
    )
    values = [...Object.values(secretsIn(nobody)), 'canary']
    const open = file('open.env', good, 0o644)
    for (const [script, { words, name, bad }] of all) {
      const wrong = file(`${script}.env`, set(good, { [name]: '', [bad]: `"${malformed}"` }))
      const begin = (what: string, args: string[]) => runs.set(`${script} ${what}`, run(script, args))
      begin('help', ['--help'])
      begin('flag', ['--dryrun'])
      begin('nothing', ['--env', join(dir, 'none.env')])
      begin('open', ['--env', open])
      begin('wrong', ['--env', wrong])
      if (!words) continue
      begin('nobody', [...words, '--env', nobody])
      begin('stranger', [...words, '--env', stranger])
    }
  })
  after(async () => {
    await Promise.all(runs.values())
    rmSync(dir, { recursive: true, force: true })
  })

  test('explains itself with --help: what it does, its flags, exit codes, an example', async () => {
    for (const [script] of all) {
      const { code, out, err } = await ran(script, 'help')
      assert.is(code, 0, err)
      assert.is(err, '')
      assert.match(out, new RegExp(`^ops/${script}\\.ts: \\w`), script)
      assert.match(out, new RegExp(`^ {2}tsx ops/${script}\\.ts`, 'm'), script)
      for (const flag of ['--env FILE', '--dry-run', '--quiet', '--help']) assert.ok(out.includes(flag), flag)
      assert.match(out, /^Exit codes\n.*0 done.*\n.*130\/143 interrupted/m, script)
    }
  })

  test('ends with 2 at a mistyped flag and names it', async () => {
    for (const [script] of all) {
      const { code, out, err } = await ran(script, 'flag')
      assert.equal([code, out], [2, ''], script)
      assert.match(err, /'--dryrun'.*See --help/, script)
    }
  })

  test('ends with 2 without a .env, and says how to make one', async () => {
    for (const [script] of all) {
      const { code, err } = await ran(script, 'nothing')
      assert.is(code, 2, `${script}: ${err}`)
      assert.match(err, /none\.env does not exist\. Copy \.env\.example .*chmod 600/, script)
    }
  })

  test('ends with 2 at a .env that others can read, and says what to run', async () => {
    for (const [script] of all) {
      const { code, err } = await ran(script, 'open')
      assert.is(code, 2, `${script}: ${err}`)
      assert.match(err, /open\.env can be read by others.*chmod 600/, script)
    }
  })

  test('ends with 2 at missing and malformed values, names them all, and prints none', async () => {
    for (const [script, { name, bad }] of all) {
      const { code, out, err } = await ran(script, 'wrong')
      assert.equal([code, out], [2, ''], `${script}: ${err}`)
      assert.match(err, new RegExp(`${name} is missing: `), script)
      assert.match(err, new RegExp(`${bad} is malformed: expected `), script)
      for (const value of values) assert.not.ok(err.includes(value), `${script} prints a value`)
    }
  })

  test('ends with 5 within seconds where no server answers, and says what to look at', async () => {
    for (const [script, { words }] of all) {
      if (!words) continue
      const { code, out, err, seconds } = await ran(script, 'nobody')
      assert.is(code, 5, `${script}: ${err}`)
      assert.match(err, /no connection to 127\.0\.0\.1: .*Connection refused/, script)
      assert.match(err, /Check SERVER_HOST and SERVER_SSH_PORT/, script)
      assert.ok(seconds < 15, `${script} took ${seconds} s`)
      for (const value of values) assert.not.ok(`${out}${err}`.includes(value), `${script} prints a value`)
    }
  })

  test('ends with 5 where the host key is not the pinned one, and says stop', async () => {
    for (const [script, { words }] of all) {
      if (!words) continue
      const { code, err } = await ran(script, 'stranger')
      assert.is(code, 5, `${script}: ${err}`)
      assert.match(err, /is not the pinned one[\s\S]*somebody may be in between: stop/, script)
    }
  })
})
