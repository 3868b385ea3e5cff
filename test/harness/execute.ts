/** Runs the tests of one suite through uvu, with hooks of our own: uvu swallows the errors of its hooks. */
import { inspect } from 'node:util'
import { suite } from 'uvu'
import { NOT_RUN, report } from './report.ts'

export type Case = { name: string; full: string; run: () => Promise<void> }
export type HookName = 'before' | 'after' | 'beforeEach' | 'afterEach'
export type Hooks = Record<HookName, (() => Promise<void>)[]>

const LINGER_MS = 3000
const pending = new Set<string>()
let begun = false

/** True once the first test of this process runs; from then on uvu cannot take another suite. */
export function hasBegun(): boolean {
  return begun
}

/**
 * Hands a suite to uvu. `before` belongs to the first test and `after` to the last; if `before` fails, every test
 * of the suite fails.
 */
export function execute(title: string, cases: Case[], hooks: Hooks): void {
  const uvu = suite(title)
  let broken = false
  for (const [index, { name, full, run }] of cases.entries()) {
    pending.add(full)
    report({ event: 'registered', test: full })
    uvu(name, () =>
      recorded(full, async (errors) => {
        if (index === 0) broken = !(await passes(errors, hooks.before))
        else if (broken) errors.push(notRun())
        if (!broken) {
          if (await passes(errors, hooks.beforeEach)) await passes(errors, [run])
          for (const hook of hooks.afterEach) await passes(errors, [hook])
        }
        if (index === cases.length - 1) for (const hook of hooks.after) await passes(errors, [hook])
      }),
    )
  }
  uvu.run()
}

/** Without a stack, which would say nothing as many times as there are tests. */
function notRun(): Error {
  return Object.assign(new Error(NOT_RUN), { stack: '' })
}

/** Runs in order up to the first failure, which is added to the errors. */
async function passes(errors: Error[], works: (() => Promise<void>)[]): Promise<boolean> {
  for (const work of works) {
    try {
      await work()
    } catch (error) {
      errors.push(withActual(error as Error))
      return false
    }
  }
  return true
}

/** `assert.match` tells the pattern alone; what did not match it tells why. */
function withActual(error: Error & { operator?: string; actual?: unknown }): Error {
  if (error.operator === 'match') error.message += `, got: ${inspect(error.actual)}`
  return error
}

async function recorded(full: string, body: (errors: Error[]) => Promise<void>): Promise<void> {
  begun = true
  const errors: Error[] = []
  const start = performance.now()
  report({ event: 'started', test: full })
  await body(errors)
  const ms = Math.round(performance.now() - start)
  const text = errors.map((error) => error.message).join('\n')
  report({ event: 'ended', test: full, ms, ...(text ? { result: 'failed', text } : { result: 'passed' }) })
  pending.delete(full)
  if (pending.size === 0) exitSoon()
  for (const also of errors.slice(1)) console.error(`\n${full}: also failed:`, also)
  if (errors[0]) throw trimmed(errors[0])
}

/** Leaves the frames that help; uvu prints all of the stack but its first line, so the message must not be in it. */
function trimmed(error: Error): Error {
  const ours = /test\/harness\/|node_modules\/uvu/
  const frames = (error.stack ?? '').split('\n').filter((line) => /^ +at /.test(line) && !ours.test(line))
  const cause = error.cause === undefined ? [] : ['caused by', inspect(error.cause)]
  Object.defineProperty(error, 'stack', { value: [error.name, ...frames, ...cause].join('\n') })
  return error
}

/** A process that a leaked handle keeps alive after its last test fails, instead of hanging. */
function exitSoon(): void {
  setTimeout(() => {
    const alive = process.getActiveResourcesInfo().join(', ')
    console.error(
      `All tests are over, but after ${LINGER_MS / 1000} s this keeps the process alive: ${alive}`,
    )
    process.exit(1)
  }, LINGER_MS).unref()
}

process.on('exit', () => {
  if (pending.size === 0) return
  console.error(`Ended before these tests: ${[...pending].join(', ')}`)
  process.exitCode = 1
})
