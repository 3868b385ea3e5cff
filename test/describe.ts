/**
 * A suite of tests on top of uvu, without uvu's ways to be falsely green: it runs itself, errors in hooks fail the
 * tests they belong to, whatever is thrown counts as a failure, and every test has a time limit.
 *
 *   describe('quoting', ({ test, before }) => {
 *     test('keeps a blank', () => assert.is(sq('a b'), "'a b'"))
 *     test('takes long', { timeout: 120_000 }, async ({ signal }) => { … })
 *     test.skip('unlocks', 'this machine has no /dev/kvm')
 *   })
 */
import { type Case, execute, type Hooks, hasBegun } from './harness/execute.ts'
import { within } from './harness/limits.ts'
import { report } from './harness/report.ts'

export { rejects } from './harness/limits.ts'

/** signal: aborted when the time limit has passed. */
export type Work = (context: { signal: AbortSignal }) => unknown
/** timeout: milliseconds. */
export type Options = { timeout?: number }
export type Test = {
  (name: string, work: Work): void
  (name: string, options: Options, work: Work): void
  /** Not run, counted as skipped; the reason is printed and must not be empty. */
  skip(name: string, reason: string): void
}
export type Hook = (work: Work, options?: Options) => void
export type Suite = { test: Test; before: Hook; after: Hook; beforeEach: Hook; afterEach: Hook }

/** How many times a test that kills at random does so: `--kills N` of the runner. */
export const kills = Number(process.env.TEST_KILLS ?? 3)

const LIMIT_MS = 60_000
const wanted = new RegExp(process.env.TEST_NAME ?? '', 'i')
const names = new Set<string>()

/**
 * Registers a suite, which then runs by itself.
 * @param options timeout: limit for each test and hook, 60 000 ms unless given here or there
 * @throws when the body is asynchronous or registers nothing, when a name is used twice, and when tests have begun
 */
export function describe(title: string, body: (suite: Suite) => void): void
export function describe(title: string, options: Options, body: (suite: Suite) => void): void
export function describe(
  title: string,
  ...rest: [(suite: Suite) => void] | [Options, (suite: Suite) => void]
) {
  const [options, body] = rest.length === 2 ? rest : [{}, rest[0]]
  if (hasBegun()) throw new Error(`describe('${title}') came too late: put no await between two suites`)
  const limit = options.timeout ?? LIMIT_MS
  const cases: Case[] = []
  const hooks: Hooks = { before: [], after: [], beforeEach: [], afterEach: [] }
  const before = names.size

  const test = (name: string, ...args: [Work] | [Options, Work]) => {
    const [{ timeout = limit }, work] = args.length === 2 ? args : [{}, args[0]]
    const full = unique(title, name)
    if (wanted.test(full)) cases.push({ name, full, run: () => within(timeout, 'the test', work) })
  }
  const hook =
    (kind: keyof Hooks): Hook =>
    (work, { timeout = limit } = {}) =>
      hooks[kind].push(() => within(timeout, kind, work))

  const returned: unknown = body({
    test: Object.assign(test, { skip: (name: string, reason: string) => skip(unique(title, name), reason) }),
    before: hook('before'),
    after: hook('after'),
    beforeEach: hook('beforeEach'),
    afterEach: hook('afterEach'),
  })
  if (returned instanceof Promise) throw new Error(`the body of describe('${title}') must not be async`)
  if (names.size === before) throw new Error(`describe('${title}') registered no test`)
  if (cases.length > 0) execute(title, cases, hooks)
}

function unique(title: string, name: string): string {
  const full = `${title} > ${name}`
  if (names.has(full)) throw new Error(`two tests are called '${full}'`)
  names.add(full)
  return full
}

function skip(full: string, reason: string): void {
  if (reason.trim() === '') throw new Error(`'${full}' is skipped without a reason`)
  if (!wanted.test(full)) return
  report({ event: 'registered', test: full })
  report({ event: 'ended', test: full, result: 'skipped', ms: 0, text: reason })
  console.log(`SKIPPED ${full}: ${reason}`)
}
