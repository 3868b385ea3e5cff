import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import { readEnv } from '../../ops/lib/env.ts'
import type { Fail } from '../../ops/lib/fail.ts'
import { type Host, hostNames, serverOf } from '../../ops/lib/host.ts'
import { withLock } from '../../ops/lib/lock.ts'
import { Session } from '../../ops/lib/session.ts'
import { sh } from '../../ops/lib/sh.ts'
import { describe } from '../describe.ts'

const root = join(import.meta.dirname, '../..')
const labEnv = process.env.LAB_ENV ?? join(root, '.lab/.env')
const claim = { name: `test-${process.pid}`, who: 'bob@desk', what: 'a test' }

/** Opens the lab's server, perhaps with other settings, and closes it after the work. */
async function withServer<T>(
  work: (host: Host, session: Session) => Promise<T>,
  change: object = {},
): Promise<T> {
  const session = new Session({ dryRun: false, quiet: true })
  try {
    return await work(serverOf(labEnv, { ...readEnv(labEnv, hostNames), ...change }, session), session)
  } finally {
    await session.end()
  }
}

function refusal(change: object): Promise<Fail> {
  return withServer((host) => host.read(sh`echo in`), change).then(
    () => assert.unreachable('it let us in') as never,
    (error: unknown) => error as Fail,
  )
}

describe('the server over ssh', ({ test, before, after }) => {
  let dir = ''
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'ssh-test-'))
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(dir, 'key')])
  })
  after(async () => {
    const files = ['lock', 'lock.holder'].map((end) => `/run/lock/everyskill-${claim.name}.${end}`)
    await withServer((host) => host.run(sh`rm -f ${files}`))
    rmSync(dir, { recursive: true, force: true })
  })

  test('a script of several lines with every kind of quote arrives as it was', async () => {
    const words = [`it's`, '"q"', '$HOME `id` $(id)', 'a\\b\nc', '*', '-n', '💥', "'\\''"]
    const script = sh`for word in ${words}; do
  # don't lose this line
  printf '%s|' "$word"
done
echo "end 'of' it"`
    await withServer(async (host) => assert.is(await host.read(script), `${words.join('|')}|end 'of' it`))
  })

  test('exit codes and pipes count over there too', async () => {
    await withServer(async (host) => {
      assert.is((await host.probe(sh`exit 7`)).code, 7)
      for (const script of [sh`false | cat`, sh`echo "$nothing"`])
        assert.ok((await host.probe(script)).code > 0)
    })
  })

  test('a command that takes too long is ended on the server', async () => {
    await withServer(async (host) => {
      const mark = `60.${process.pid}`
      const error = (await host
        .read(sh`sleep ${mark}`, { timeout: 1 })
        .catch((thrown: unknown) => thrown)) as Fail
      assert.is(error.exitCode, 124)
      assert.is(
        await host.read(
          sh`for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline 2>/dev/null || true; echo; done | grep -c ${`^sleep ${mark}`} || true`,
        ),
        '0',
      )
    })
  })

  test('stdin carries bytes, and a file arrives whole', async () => {
    const data = Buffer.alloc(1_000_000, 'ä€\0\n')
    await withServer(async (host) => {
      assert.is(await host.read(sh`cat`), '')
      const path = `/tmp/test-${process.pid}`
      await host.put(path, data)
      assert.is(await host.read(sh`stat -c '%s %a %u' ${path}; rm ${path}`), '1000000 400 0')
    })
  })

  test('all commands share one connection, and nothing of it is left', async () => {
    let socket = ''
    await withServer(async (host) => {
      const connection = sh`echo "$SSH_CONNECTION"`
      assert.is(await host.read(connection), await host.read(connection))
      socket =
        host.sshArgv.find((arg) => arg.startsWith('ControlPath='))?.replace(/^ControlPath=(.*)\/%C$/, '$1') ??
        ''
      assert.ok(existsSync(socket))
    })
    assert.not.ok(existsSync(socket))
  })

  test('another host key than the pinned one ends with 5 and says stop', async () => {
    const { SERVER_HOST, SERVER_SSH_PORT } = readEnv(labEnv, hostNames)
    const known = join(dir, 'known_hosts')
    const key = readFileSync(join(dir, 'key.pub'), 'utf8')
    writeFileSync(known, `${SERVER_HOST} ${key}[${SERVER_HOST}]:${SERVER_SSH_PORT} ${key}`)
    const { exitCode, message } = await refusal({ SERVER_KNOWN_HOSTS: known })
    assert.is(exitCode, 5)
    assert.match(message, /The key of \S+ is not the pinned one\..*somebody may be in between: stop\./)
  })

  test('a host key that is not pinned is never learnt', async () => {
    const known = join(dir, 'empty')
    writeFileSync(known, '')
    const { exitCode, message } = await refusal({ SERVER_KNOWN_HOSTS: known })
    assert.is(exitCode, 5)
    assert.match(message, /is known for .* strict checking[\s\S]*\nThe key of \S+ is not the pinned one\./)
    assert.is(readFileSync(known, 'utf8'), '')
  })

  test('a key that the server refuses ends with 5 and says what to look at', async () => {
    const { exitCode, message } = await refusal({ SERVER_SSH_KEY: join(dir, 'key') })
    assert.is(exitCode, 5)
    assert.match(
      message,
      /Permission denied[\s\S]*\n\S+ refused the key\. Check SERVER_USER and SERVER_SSH_KEY/,
    )
  })

  test('a port where nobody listens ends with 5', async () => {
    const { exitCode, message } = await refusal({ SERVER_SSH_PORT: '9' })
    assert.is(exitCode, 5)
    assert.match(message, /Check SERVER_HOST and SERVER_SSH_PORT/)
  })

  test('the lock is held over there, and free at once when its holder is killed', async () => {
    const script = join(root, 'test/fixtures/cli/hold.ts')
    const args = ['--import', 'tsx', script, claim.name, '15', 'server', '--env', labEnv]
    const child = spawn(process.execPath, args, {
      cwd: root,
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: 60_000,
    })
    await new Promise<void>((held, fail) => {
      child.stderr.on('data', (data) =>
        String(data).includes('held') ? held() : fail(new Error(String(data))),
      )
    })
    await withServer(async (host, session) => {
      const take = () =>
        withLock(host, session, claim, async () => 'mine').catch((error: Fail) => error.message)
      assert.match(await take(), /is held by ann@laptop, since .*, for: a long deploy/)
      child.kill('SIGKILL')
      const start = performance.now()
      while ((await take()) !== 'mine') await sleep(20)
      const ms = performance.now() - start
      assert.ok(ms < 10_000, `it took ${ms} ms, and a beat is 15 s`)
    })
  })

  test('when the connection breaks, the lock is lost and the script is stopped', async () => {
    await withServer(async (host, session) => {
      const work = async () => {
        const [ssh = '', ...args] = host.sshArgv
        execFileSync(ssh, [...args, '-O', 'exit'], { stdio: 'ignore' })
        await sleep(500)
        return host.run(sh`echo went on`)
      }
      const error = (await withLock(host, session, claim, work).catch((thrown: unknown) => thrown)) as Fail
      assert.is(error.exitCode, 5)
      assert.match(error.message, /lock on .* was lost/)
    })
  })
})
