/** The runner fails for every test file that would be falsely green; the files are in fixtures/. */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { describe } from '../describe.ts'

const FIXTURES = 'test/harness/fixtures'

/** Bad files: how many of their tests pass and how many failures they count as, and what the runner says. */
const bad: [file: string, passed: number, failed: number, says: RegExp][] = [
  ['throws-at-import', 0, 1, /never run: registered before the error.*set-up went wrong/s],
  ['throws-in-before', 0, 2, /the hook went wrong.*because before failed/s],
  ['throws-in-beforeEach', 0, 2, /the hook went wrong/],
  ['throws-in-afterEach', 0, 2, /the hook went wrong/],
  ['throws-in-after', 1, 1, /the hook went wrong/],
  ['registers-nothing', 0, 1, /registered no test/],
  ['empty-suite', 0, 1, /describe\('empty'\) registered no test/],
  ['never-resolves', 1, 1, /longer than its limit of 0\.2 s/],
  ['no-match', 0, 1, /what it should be.* got: 'what it was'/],
  ['throws-a-string', 0, 2, /threw 'a string'.*threw undefined/s],
  ['exits', 0, 1, /in the middle of: exits > in the middle/],
  ['leaks', 1, 1, /keeps the process alive: .*Timeout/],
  ['late-suite', 1, 1, /put no await between two suites/],
  ['twice', 0, 1, /two tests are called 'twice > same'/],
  ['asynchronous', 0, 1, /must not be async/],
  ['unhandled', 0, 1, /nobody waits for this/],
]

type Ran = { code: number | null; text: string; last: string; out: string }

describe('the test runner', ({ test, before, after }) => {
  const scratch = mkdtempSync(join(tmpdir(), 'everyskill-runner-'))
  let all: Ran
  before(async () => {
    all = await run('unit', '--dir', `${FIXTURES}/files`, '--only', '^(?!.*/blocks)')
  })
  after(() => rmSync(scratch, { recursive: true, force: true }))

  async function run(...args: string[]): Promise<Ran> {
    const out = mkdtempSync(join(scratch, 'out-'))
    const child = spawn(process.execPath, ['--import', 'tsx', 'test/run.ts', '--out', out, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let text = ''
    const keep = (data: Buffer) => {
      text += data
    }
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    const code = await new Promise<number | null>((done) => child.once('close', done))
    return { code, text, last: text.trimEnd().split('\n').at(-1) ?? '', out }
  }

  /** What the runner printed about one file: its line and all up to the path of its log. */
  function about(file: string): string {
    const from = all.text.search(new RegExp(`^ {2}(ok|FAIL) .*/${file}\\.test\\.ts`, 'm'))
    assert.ok(from >= 0, `${file} is missing in:\n${all.text}`)
    const rest = all.text.slice(from)
    const end = rest.slice(1).search(/^ {2}(ok|FAIL) |^Slowest|^Failed/m)
    return rest.slice(0, end + 1)
  }

  for (const [file, passed, failed, says] of bad) {
    test(`fails for ${file}`, () => {
      assert.match(about(file), new RegExp(`^ {2}FAIL .*  ${passed} passed, ${failed} failed  `))
      assert.match(about(file), says)
    })
  }

  test('passes a good file, runs hooks in order and says what is skipped', () => {
    assert.match(about('good'), /^ {2}ok .* 2 passed, 1 skipped /)
    assert.match(about('good'), 'SKIPPED good > three: only here to be skipped')
    const log = readFileSync(
      join(all.out, 'logs', `${FIXTURES}/files/good.test.ts.log`.replaceAll('/', '-')),
      'utf8',
    )
    assert.match(log, 'order: before beforeEach one afterEach beforeEach two afterEach')
  })

  test('sums all files up, on the last line, in results.json and in the exit code', () => {
    const sum = (column: 1 | 2) => bad.reduce((total, row) => total + row[column], 0)
    assert.is(all.last, `${sum(1) + 2} passed, ${sum(2)} failed, 1 skipped`)
    const results = JSON.parse(readFileSync(join(all.out, 'results.json'), 'utf8'))
    assert.equal([results.ok, results.passed, results.failed], [false, sum(1) + 2, sum(2)])
    assert.is(all.code, 1)
  })

  test('kills a file that blocks', async () => {
    const ran = await run('unit', '--dir', `${FIXTURES}/files`, '--only', '/blocks', '--limit', '2')
    assert.match(ran.text, /blocks\.test\.ts: took longer than 2 s and was killed/)
    assert.is(ran.last, '0 passed, 1 failed')
    assert.is(ran.code, 1)
  })

  test('takes one test by name, and ends well', async () => {
    const ran = await run('unit', '--dir', `${FIXTURES}/files`, '--only', '/good', '--name', 'good > one$')
    assert.is(ran.last, '1 passed, 0 failed', ran.text)
    assert.is(ran.code, 0)
  })

  for (const args of [
    ['--only', 'no such file'],
    ['--only', '/good', '--name', 'no such test'],
  ]) {
    test(`fails if nothing matches ${args.join(' ')}`, async () => {
      const ran = await run('unit', '--dir', `${FIXTURES}/files`, ...args)
      assert.match(ran.text, 'No test matches')
      assert.is(ran.last, '0 passed, 1 failed')
      assert.is(ran.code, 1)
    })
  }

  test('refuses an unknown flag or suite', async () => {
    for (const args of [['--onyl', 'x'], ['units']]) assert.is((await run(...args)).code, 2)
  })

  test('fails, and runs no lab test, if the lab does not come up', async () => {
    const ran = await run('lab', '--dir', `${FIXTURES}/lab-down`)
    assert.match(ran.text, /did not come up \(exit code 1\).*no lab today/s)
    assert.is(ran.last, '0 passed, 1 failed')
    assert.is(ran.code, 1)
  })
})
