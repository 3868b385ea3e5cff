import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { askSecret, typed } from '../../ops/lib/asking.ts'
import { Session } from '../../ops/lib/session.ts'
import { describe } from '../describe.ts'

const root = join(import.meta.dirname, '../..')
const ask = `${process.execPath} --import tsx ${join(root, 'test/fixtures/cli/ask.ts')}`
const [first, second] = ['the passphrase of alice', 'the passphrase of bob']

function started(under: string[]): {
  child: ChildProcess
  ended: Promise<{ code: number | null; out: string }>
} {
  const child = spawn(under[0] as string, under.slice(1), { cwd: root, stdio: 'pipe', timeout: 40_000 })
  let out = ''
  const keep = (data: Buffer) => {
    out += data
    child.emit('said', out)
  }
  child.stdout?.on('data', keep)
  child.stderr?.on('data', keep)
  child.stdin?.on('error', () => {})
  return { child, ended: new Promise((done) => child.once('close', (code) => done({ code, out }))) }
}

/** Runs the script with this on stdin, which is no terminal. */
function piped(text: string): Promise<{ code: number | null; out: string }> {
  const { child, ended } = started(['bash', '-c', `exec ${ask}`])
  child.stdin?.end(text)
  return ended
}

/** Types these answers at a terminal, each when its question is there. */
function atTerminal(...answers: string[]): Promise<{ code: number | null; out: string }> {
  const { child, ended } = started(['script', '-qec', ask, '/dev/null'])
  let next = 0
  child.on('said', (out: string) => {
    if (out.split(': ').length - 1 > next && next < answers.length)
      child.stdin?.write(answers[next++] as string)
  })
  return ended.finally(() => child.stdin?.end())
}

describe('a secret that is asked for', ({ test }) => {
  const both = piped(`${first}\n${second}\n`)
  const unended = piped(`${first}\n${second}`)
  const more = piped(`${first}\n${second}\nand more\n`)
  const none = piped(`${first}\n`)
  const asked = atTerminal(`${first}\r`, `${second}x\x7f\r`, `${second}\r`)
  const differs = atTerminal(`${first}\r`, `${second}\r`, 'another one\r')
  const interrupted = atTerminal('the pass\x03')

  test('is a line of stdin each, without its newline, and hidden from then on', async () => {
    const { code, out } = await both
    assert.equal([code, out.trim()], [0, `${first.length} ${second.length} [passphrase]`])
    assert.is((await unended).out, out)
  })

  test('is refused with 3 when stdin ends, with 2 when it is not one line', async () => {
    const { code, out } = await none
    assert.equal([code, out], [3, 'error: Nobody answered: passphrase of bob.\n'])
    assert.is((await more).code, 2)
    assert.match((await more).out, /more than one line.*Nothing was sent/)
  })

  test('is not shown at a terminal, and a new one is asked for twice', async () => {
    const { code, out } = await asked
    assert.is(code, 0, out)
    assert.match(out, /passphrase of alice: \r?\n.*passphrase of bob: \r?\npassphrase of bob, again: \r?\n/)
    assert.match(out, `${first.length} ${second.length} [passphrase]`)
    assert.not(/the pass/.test(out), out)
  })

  test('that is typed in two ways is refused with 3', async () => {
    const { code, out } = await differs
    assert.is(code, 3, out)
    assert.match(out, 'The two passphrases differ. Nothing was changed.')
  })

  test('ends with Ctrl-C', async () => {
    const { code, out } = await interrupted
    assert.is(code, 130, out)
  })

  test('is not asked for by a dry run', async () => {
    const session = new Session({ dryRun: true, quiet: true })
    assert.ok((await askSecret(session, 'passphrase')).length > 20)
  })
})

describe('keys at a terminal', ({ test }) => {
  test('make a line: backspace, Ctrl-U, a line that was pasted', () => {
    assert.equal(typed('abx\x7fc\r'), { line: 'abc', rest: '' })
    assert.equal(typed('wrong\x15right\r'), { line: 'right', rest: '' })
    assert.equal(typed('one\rtwo'), { line: 'one', rest: 'two' })
    assert.equal(typed('ö💥\x7f\r'), { line: 'ö', rest: '' })
    assert.equal([typed('half'), typed('a\x03b\r'), typed('\x04')], [undefined, 'interrupt', 'end'])
  })
})
