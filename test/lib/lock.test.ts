import { type ChildProcess, spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import { Fail } from '../../ops/lib/fail.ts'
import { Host } from '../../ops/lib/host.ts'
import { type Claim, withLock } from '../../ops/lib/lock.ts'
import { Session } from '../../ops/lib/session.ts'
import { describe } from '../describe.ts'

const root = join(import.meta.dirname, '../..')
const name = `test-${process.pid}`
const bob: Claim = { name, who: 'bob@desk', what: 'a backup' }

function lock<T>(work: () => Promise<T>, { dryRun = false, claim = bob } = {}): Promise<T> {
  const session = new Session({ dryRun, quiet: true })
  return withLock(new Host('local', [], session), session, claim, work)
}

/** Tries until the lock can be had; answers with the milliseconds that took. */
async function freeAfter(): Promise<number> {
  const start = performance.now()
  for (;;) {
    const free = await lock(async () => true).catch((error: unknown) => {
      if (error instanceof Fail && error.outcome === 'locked') return false
      throw error
    })
    if (free) return performance.now() - start
    await sleep(20)
  }
}

/** Another process that holds the lock. */
async function holder(
  beat: number,
): Promise<{ child: ChildProcess; ended: Promise<number | null>; said: () => string }> {
  const script = join(root, 'test/fixtures/cli/hold.ts')
  const child = spawn(process.execPath, ['--import', 'tsx', script, name, String(beat)], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: 30_000,
    killSignal: 'SIGKILL',
  })
  let said = ''
  const ended = new Promise<number | null>((done) => child.once('close', (code) => done(code)))
  await new Promise<void>((held, fail) => {
    child.stderr.on('data', (data) => {
      said += data
      if (said.includes('held\n')) held()
    })
    child.once('close', () => fail(new Error(`it did not hold: ${said}`)))
  })
  return { child, ended, said: () => said }
}

describe('withLock', ({ test, after }) => {
  after(() => {
    for (const file of [`${name}.lock`, `${name}.lock.holder`])
      rmSync(`/run/lock/everyskill-${file}`, { force: true })
  })

  test('gives what the work gives, and the lock is free again at once', async () => {
    for (let i = 0; i < 5; i++) assert.is(await lock(async () => i), i)
  })

  test('is free again when the work fails, and the failure comes through', async () => {
    const error = await lock(() => Promise.reject(new Error('the work broke'))).catch(
      (thrown: Error) => thrown,
    )
    assert.is((error as Error).message, 'the work broke')
    assert.is(await lock(async () => 1), 1)
  })

  test('of many at once one gets it, and the others are told who holds it', async () => {
    let inside = 0
    const tries = Array.from({ length: 6 }, (_, i) =>
      lock(
        async () => {
          assert.is(++inside, 1)
          await sleep(1500)
          inside--
        },
        { claim: { ...bob, who: `bob${i}` } },
      ),
    )
    const ends = await Promise.allSettled(tries)
    const lost = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason as Fail] : []))
    assert.is(lost.length, 5)
    for (const { outcome } of lost) assert.is(outcome, 'locked')
  })

  test('says who holds it, since when and for what', async () => {
    await lock(async () => {
      const error = (await lock(async () => {}).catch((thrown: unknown) => thrown)) as Fail
      assert.is(error.exitCode, 4)
      assert.match(
        error.message,
        new RegExp(
          `^the ${name} lock on local is held by bob@desk, since 20\\d\\d-\\S+Z, for: a backup$`,
          'm',
        ),
      )
    })
  })

  test('another name is another lock', async () => {
    const other = { ...bob, name: `${name}-other` }
    assert.is(await lock(() => lock(async () => 1, { claim: other })), 1)
    for (const file of ['lock', 'lock.holder'])
      rmSync(`/run/lock/everyskill-${other.name}.${file}`, { force: true })
  })

  test('a dry run takes none, so that it works beside a deploy', async () => {
    assert.is(await lock(() => lock(async () => 1, { dryRun: true })), 1)
  })

  test('a holder that is killed frees it at once', async () => {
    const { child, ended } = await holder(15)
    child.kill('SIGKILL')
    await ended
    const ms = await freeAfter()
    assert.ok(ms < 10_000, `it took ${ms} ms, and a beat is 15 s`)
  })

  test('a holder that falls silent loses it, and stops when it wakes', async () => {
    const { child, ended, said } = await holder(0.5)
    await sleep(2500)
    assert.ok(
      (await lock(async () => false).catch(() => true)) as boolean,
      'it keeps the lock while it lives',
    )
    child.kill('SIGSTOP')
    const ms = await freeAfter()
    assert.ok(ms < 15_000, `it took ${ms} ms`)
    child.kill('SIGCONT')
    assert.is(await ended, 5)
    assert.match(said(), new RegExp(`error: the ${name} lock on local was lost`))
  })
})
