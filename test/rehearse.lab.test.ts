/** The README's main command, as a newcomer runs it: everything for real, on an empty server. */
import { spawn } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import * as assert from 'uvu/assert'
import { describe } from './describe.ts'
import { labPath, ROOT } from './lab/shell.ts'

const wanted = [
  'bring up a disposable world',
  'build the first version',
  'bootstrap the server',
  'deploy it',
  'open it over HTTPS',
  'deploy a second version under load',
  'back up',
  'wait until the Storage Box has it all',
  'drill',
  'lose a table',
  'bring it back',
  'roll back',
  'ask for the status',
]

describe('the rehearsal', ({ test }) => {
  test('holds, and says so step by step', { timeout: 900_000 }, async ({ signal }) => {
    const begun = Date.now()
    const child = spawn('npm', ['run', '--silent', 'rehearse'], {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'pipe'],
      signal,
    })
    let [out, err] = ['', '']
    child.stdout.setEncoding('utf8').on('data', (part: string) => (out += part))
    child.stderr.setEncoding('utf8').on('data', (part: string) => (err += part))
    const code = await new Promise((done) => child.on('close', done))
    assert.is(code, 0, `${err.trimEnd().split('\n').slice(-6).join('\n')}\n${out}`)

    const file = labPath('rehearsal.json')
    assert.ok(statSync(file).mtimeMs >= begun, 'an old result')
    const { ok, steps, standIns, ...more } = JSON.parse(readFileSync(file, 'utf8'))
    assert.equal([ok, more], [true, {}])
    for (const step of steps) {
      assert.equal(Object.keys(step).sort(), ['name', 'ok', 'proof', 'seconds'])
      assert.is(step.ok, true, step.name)
      assert.ok(step.seconds >= 0 && typeof step.seconds === 'number', step.name)
      assert.ok(typeof step.proof === 'string' && step.proof !== '', step.name)
    }
    const names = steps.map(({ name }: { name: string }) => name)
    assert.equal(
      names.filter((name: string) => wanted.includes(name)),
      wanted,
    )
    const proof = (name: string): string => steps.find((step: { name: string }) => step.name === name).proof
    assert.match(proof('open it over HTTPS'), /DNS:\*\.everyskill\.test, issued by Pebble .*DNS-01/)
    assert.match(
      proof('deploy a second version under load'),
      /^\d{3,} requests at 1\d\d\/s, 0 failed, each of \d{3,} writes there once/,
    )
    assert.match(
      proof('back up'),
      /F: full,.*; \S+: dump of \d+ tables.*; \S+: files.*; verified: every file/s,
    )
    const waited = Number(
      /came (\d+) s after the commit/.exec(proof('wait until the Storage Box has it all'))?.[1],
    )
    // The minute until cron starts the loop, and a round.
    assert.ok(waited <= 90, `a commit was on the server alone for ${waited} s`)
    assert.match(proof('drill'), /record 1: pass/)
    assert.match(proof('bring it back'), /^(\d+) documents of \1 are back/)
    for (const name of names) assert.ok(out.includes(name), `the closing table lacks: ${name}`)
    assert.ok(Array.isArray(standIns))
    for (const standIn of standIns) assert.ok(out.includes(standIn), standIn)
  })
})
