/** What the runner prints. */
import { type FileResult, readLog } from './file.ts'
import { NOT_RUN, type Result } from './report.ts'

export type Total = Record<Result, number>

const count = (file: FileResult, result: Result) => file.tests.filter((test) => test.result === result).length

/** Sums up files; a file that is unsound as a whole counts as one more failure. */
export function total(files: FileResult[]): Total {
  const sum = (of: (file: FileResult) => number) => files.reduce((all, file) => all + of(file), 0)
  return {
    passed: sum((file) => count(file, 'passed')),
    failed: sum((file) => count(file, 'failed') + (file.problems.length > 0 ? 1 : 0)),
    skipped: sum((file) => count(file, 'skipped')),
  }
}

/** One line for a file; if it failed, the reasons and all that it printed. */
export function fileLine(file: FileResult): string {
  const { passed, failed, skipped } = total([file])
  const counts = `${passed} passed${failed ? `, ${failed} failed` : ''}${skipped ? `, ${skipped} skipped` : ''}`
  const line = `${file.file}  ${counts}  ${file.seconds.toFixed(1)} s`
  const reasons = file.tests
    .filter((test) => test.result === 'skipped')
    .map((t) => `        SKIPPED ${t.test}: ${t.text}`)
  if (failed === 0) return [`  ok    ${line}`, ...reasons].join('\n')
  const problems = file.problems.map((problem) => `        ${file.file}: ${problem}`)
  return [`  FAIL  ${line}`, ...problems, ...reasons, readLog(file.log), `  (that was ${file.log})`].join(
    '\n',
  )
}

/** The slowest tests of the run, then the failures once more, by name. */
export function overview(files: FileResult[]): string {
  const tests = files.flatMap(({ file, tests }) => tests.map((test) => ({ ...test, file })))
  const slow = tests.filter((test) => test.ms >= 1000).sort((a, b) => b.ms - a.ms)
  const lines = slow
    .slice(0, 5)
    .map((t) => `  ${(t.ms / 1000).toFixed(1).padStart(6)} s  ${t.file}: ${t.test}`)
  if (lines.length > 0) lines.unshift('Slowest:')
  const own = tests.filter((test) => test.result === 'failed' && test.text !== NOT_RUN)
  const failures = [
    ...files.flatMap(({ file, problems }) => problems.slice(0, 1).map((problem) => `  ${file}: ${problem}`)),
    ...own.map((t) => `  ${t.file}: ${t.test}: ${firstLine(t.text)}`),
  ]
  if (failures.length > 0) lines.push('Failed:', ...failures)
  return ['', ...lines, ''].join('\n')
}

const firstLine = (text = '') => text.split('\n')[0] ?? ''

/** The last line of a run, which other programs read. */
export function lastLine({ passed, failed, skipped }: Total): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`
}
