/**
 * What one test file tells the runner: a line of JSON for each test when it is registered, started and ended,
 * written at once, so that the runner knows where a file stopped even if it was killed.
 */
import { appendFileSync, existsSync, readFileSync } from 'node:fs'

export type Result = 'passed' | 'failed' | 'skipped'

export type Event =
  | { event: 'registered' | 'started'; test: string }
  | { event: 'ended'; test: string; result: Result; ms: number; text?: string }

export type Ended = Extract<Event, { event: 'ended' }>

/** The name of the environment variable that holds the path of the report; unset when a file is run by hand. */
export const REPORT = 'TEST_REPORT'

/** What a test says whose `before` has failed. */
export const NOT_RUN = 'not run, because before failed'

/** Appends one event to this process' report, if it has one. */
export function report(event: Event): void {
  const path = process.env[REPORT]
  if (path) appendFileSync(path, `${JSON.stringify(event)}\n`)
}

/** Reads a report; a file that registered nothing has left none, which is an empty list. */
export function readReport(path: string): Event[] {
  if (!existsSync(path)) return []
  const lines = readFileSync(path, 'utf8').split('\n')
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Event)
}

/**
 * Holds a finished file against its report.
 * @returns the tests that ended, and every reason why the file as a whole does not count as sound
 */
export function judge(events: Event[], exitCode: number | null, filtered: boolean) {
  const named = (event: Event['event']) => events.filter((e) => e.event === event).map((e) => e.test)
  const ended = events.filter((e): e is Ended => e.event === 'ended')
  const done = new Set(named('ended'))
  const unfinished = named('started').filter((test) => !done.has(test))
  const waiting = named('registered').filter((test) => !done.has(test) && !unfinished.includes(test))
  const problems: string[] = []
  if (named('registered').length === 0 && !filtered) problems.push('registered no test')
  if (unfinished.length > 0) problems.push(`stopped in the middle of: ${unfinished.join(', ')}`)
  if (waiting.length > 0) problems.push(`ended with ${waiting.length} tests never run: ${waiting.join(', ')}`)
  if (ended.length !== done.size) problems.push('a test ended twice')
  if (exitCode !== 0 && problems.length + ended.filter((e) => e.result === 'failed').length === 0) {
    problems.push('no test failed, yet it did not end well')
  }
  if (exitCode !== 0 && problems.length > 0) problems.push(`exit code ${exitCode ?? 'none (killed)'}`)
  return { ended, problems }
}
