import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { Fail } from '../../ops/lib/fail.ts'
import { Host, hostNames, serverOf } from '../../ops/lib/host.ts'
import { Session } from '../../ops/lib/session.ts'
import { sh } from '../../ops/lib/sh.ts'
import { describe } from '../describe.ts'

/** A session that keeps what it prints. */
class Recorder extends Session {
  readonly printed: string[] = []

  override result(line: string): void {
    this.printed.push(line)
  }
}

const here = () => new Host('local', [], new Session({ dryRun: false, quiet: true }))

async function failure(work: Promise<unknown>): Promise<Fail> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  assert.instance(error, Fail)
  return error as Fail
}

describe('a host', ({ test, before, after }) => {
  let dir = ''
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'host-test-'))
  })
  after(() => rmSync(dir, { recursive: true, force: true }))

  test('answers with stdout, without its last newline and without stderr', async () => {
    assert.is(await here().read(sh`echo warning >&2; printf 'a\\nb\\n\\n'`), 'a\nb\n')
  })

  test('probe answers with the exit code, read throws it with the command and the end of stderr', async () => {
    const script = sh`echo out; seq 30 >&2; exit 7`
    assert.is((await here().probe(script)).code, 7)
    const { outcome, message } = await failure(here().read(script))
    assert.is(outcome, 'failed')
    assert.match(message, /^local: echo out; seq 30 >&2; exit 7 ended with 7\n11\n/)
    assert.match(message, /\n30$/)
  })

  test('a script ends at the first command that fails, in a pipe too, and at a variable that is not set', async () => {
    for (const script of [sh`false; echo on`, sh`false | cat; echo on`, sh`echo "$nothing"; echo on`]) {
      const { code, stdout } = await here().probe(script)
      assert.not.equal([code, stdout], [0, 'on\n'])
      assert.not.match(stdout, /on/)
    }
  })

  test('a command that takes too long is ended there, with all that it started', async () => {
    const mark = join(dir, 'late')
    const script = sh`(sleep 2; touch ${mark}) & wait`
    const { exitCode, message } = await failure(here().read(script, { timeout: 0.3 }))
    assert.is(exitCode, 124)
    assert.match(message, /^local: no end in the time it has: \(sleep 2/)
    await here().read(sh`sleep 2`)
    assert.not.ok(existsSync(mark))
  })

  test('stdin is empty unless something is given', async () => {
    assert.is(await here().read(sh`cat`, { timeout: 5 }), '')
  })

  test('a secret goes in on stdin and is in no argv from us down to the command', async () => {
    const secret = 'on-stdin-only-4711'
    const script = sh`pid=$$
read -r secret
while [ "$pid" -gt 1 ]; do
  tr '\\0' ' ' < /proc/$pid/cmdline; echo
  pid=$(awk '$1 == "PPid:" { print $2 }' /proc/$pid/status)
done
echo "length \${#secret}"`
    const said = await here().read(script, { input: `${secret}\n` })
    assert.match(said, /length 18$/)
    assert.match(said, /timeout/)
    assert.not.match(said, /4711/)
  })

  test('takes and gives bytes as they are, megabytes of them', async () => {
    const data = Buffer.alloc(3_000_000, 'ä€\0\n')
    const sum = await here().read(sh`sha256sum | cut -c 1-64`, { input: data })
    assert.is(sum, createHash('sha256').update(data).digest('hex'))
    assert.is((await here().read(sh`yes 0123456789abcdef | head -n 300000 || true`)).length, 300_000 * 17 - 1)
  })

  test('feeds a program to a script from pipe to pipe, and fails when either does', async () => {
    await here().feed(['seq', '3'], sh`cat > ${join(dir, 'fed')}`)
    assert.is(readFileSync(join(dir, 'fed'), 'utf8'), '1\n2\n3\n')
    assert.is((await failure(here().feed(['false'], sh`cat`))).outcome, 'failed')
    assert.match(
      (await failure(here().feed(['echo'], sh`cat; echo why >&2; exit 3`))).message,
      /ended with 3\nwhy$/,
    )
  })

  test('put writes content, mode and owner, and replaces a file that cannot be written', async () => {
    const path = join(dir, "it's a/folder", 'file')
    const owner = process.getuid?.() === 0 ? 1001 : (process.getuid?.() ?? 0)
    await here().put(path, 'first', { owner })
    await here().put(path, 'ä\n', { mode: '0440', owner })
    const { mode, uid } = statSync(path)
    assert.is(readFileSync(path, 'utf8'), 'ä\n')
    assert.equal([mode & 0o7777, uid], [0o440, owner])
    assert.not.ok(existsSync(`${path}.part`))
  })

  test('put is never readable by others, not even while it is written', async () => {
    const owner = process.getuid?.() ?? 0
    const watching = join(dir, 'watched')
    const go = join(dir, 'go')
    const slow = new Host(
      'slow',
      ['bash', '-c', `(until [ -e '${go}' ]; do sleep 0.02; done; cat) | bash -c "$1"`, '-'],
      new Session({ dryRun: false, quiet: true }),
    )
    const written = slow.put(watching, 'secret', { mode: '0444', owner })
    const part = `${watching}.part`
    await here().read(sh`until [ -e ${part} ]; do sleep 0.02; done`)
    assert.is(statSync(part).mode & 0o777, 0o600)
    assert.not.ok(existsSync(watching))
    writeFileSync(go, '')
    await written
    assert.is(statSync(watching).mode & 0o777, 0o444)
  })

  test('put leaves the old file when the connection breaks off in the middle', async () => {
    const path = join(dir, 'whole')
    const owner = process.getuid?.() ?? 0
    await here().put(path, 'old', { owner })
    const lossy = new Host(
      'lossy',
      ['bash', '-c', 'head -c 4 | bash -c "$1"', '-'],
      new Session({ dryRun: false, quiet: true }),
    )
    await failure(lossy.put(path, 'new content', { owner }))
    assert.is(readFileSync(path, 'utf8'), 'old')
  })

  test('a command that ends before it reads its input is judged by its exit code', async () => {
    const script = sh`exec 0<&-; sleep 0.1; exit 3`
    assert.is((await here().probe(script, { input: Buffer.alloc(1_000_000) })).code, 3)
  })

  test('a dry run prints what would change something, runs what only reads, and shows no content', async () => {
    const session = new Recorder({ dryRun: true, quiet: true })
    const host = new Host('srv', [], session)
    const mark = join(dir, 'dry')
    assert.is(await host.run(sh`touch ${mark}`), '')
    await host.feed(['cat', mark], sh`tar -x`)
    await host.put(mark, 'dry-run-secret')
    assert.is(await host.read(sh`echo read`), 'read')
    assert.not.ok(existsSync(mark))
    assert.is(session.printed[0], `[srv] touch '${mark}'`)
    assert.is(session.printed[1], `[srv] cat ${mark} | tar -x`)
    assert.match(session.printed[2] ?? '', /^\[srv\] umask 077; mkdir -p/)
    assert.not.match(session.printed.join(), /dry-run-secret/)
  })

  test('ssh gets one word: the whole command, quoted for the shell over there', async () => {
    const ssh = ['ssh', 'root@srv']
    const host = new Host('srv', ssh, new Session({ dryRun: false, quiet: true }))
    const argv = host.argv(sh`echo ${"it's"}`, 9)
    assert.equal(argv, [
      ...ssh,
      `'timeout' '-k' '5' '9' 'bash' '-euo' 'pipefail' '-c' 'echo '\\''it'\\''\\'\\'''\\''s'\\'''`,
    ])
    assert.not.ok(host.isLocal)
    assert.equal(here().argv(sh`true`, 0), ['bash', '-euo', 'pipefail', '-c', 'true'])
  })
})

describe('the server of a .env', ({ test, before, after }) => {
  let dir = ''
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'host-test-'))
    writeFileSync(join(dir, 'known_hosts'), '')
  })
  after(() => rmSync(dir, { recursive: true, force: true }))

  const open = async (values: object) => {
    const session = new Session({ dryRun: false, quiet: true })
    const env = { SERVER_HOST: '127.0.0.1', SERVER_USER: 'root', SERVER_SSH_PORT: '1', ...values }
    try {
      const host = serverOf(join(dir, '.env'), env as Parameters<typeof serverOf>[1], session)
      return await host.read(sh`echo here`)
    } finally {
      await session.end()
    }
  }

  test('`local` is this machine', async () => {
    assert.is(await open({ SERVER_HOST: 'local' }), 'here')
  })

  test('a key that is not pinned, and files that are not there, are refused before anything is sent', async () => {
    const unpinned = await failure(open({}))
    assert.is(unpinned.exitCode, 2)
    assert.match(unpinned.message, /SERVER_KNOWN_HOSTS is missing/)
    for (const name of ['SERVER_KNOWN_HOSTS', 'SERVER_SSH_KEY']) {
      const { message, exitCode } = await failure(open({ SERVER_KNOWN_HOSTS: 'known_hosts', [name]: 'none' }))
      assert.is(exitCode, 2)
      assert.match(message, new RegExp(`${name} names ${dir}/none, which does not exist`))
    }
  })

  test('a port that refuses ends with 5 and says what to look at', async () => {
    const { message, exitCode } = await failure(open({ SERVER_KNOWN_HOSTS: 'known_hosts' }))
    assert.is(exitCode, 5)
    assert.match(
      message,
      /^no connection to 127\.0\.0\.1: ssh: connect to .*refused\nCheck SERVER_HOST and SERVER_SSH_PORT/,
    )
  })

  test('names what it needs of the .env', () => {
    assert.equal(
      hostNames.filter((name) => !name.startsWith('SERVER_')),
      [],
    )
  })
})
