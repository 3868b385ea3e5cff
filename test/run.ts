/**
 * The test runner: `tsx test/run.ts [unit] [engine] [lab] [luks] [faults] [--only REGEX] [--name REGEX] [--kills N]`
 *
 *   unit          *.test.ts, in parallel; no Docker, seconds
 *   engine        *.engine.test.ts, one after another: what has containers of its own, or starts programs by the dozen
 *   lab           *.lab.test.ts, one after another, against the disposable world of test/lab; beside those of engine
 *   luks          *.luks.test.ts: a virtual machine from the empty disk to the encrypted system, in software where KVM is missing
 *   faults        *.faults.test.ts: what can go wrong on the way there; long, and no part of `npm test`
 *   --only REGEX  only files whose path matches       --name REGEX  only tests whose `suite > test` matches
 *   --kills N     how often tests that kill at random do so (3)
 *   --dir DIR     where the test files are (test)      --out DIR     where results and logs go (.lab)
 *   --limit S     seconds for one file (unit 300, others 1200)
 *
 * Each file is a process of its own. A file fails as a whole if it throws in set-up, registers nothing, takes too
 * long, or if its counts do not add up; a pattern that matches nothing fails the run. Writes results.json.
 * The last line is `N passed, N failed`, with `, N skipped` if there are any. Exit codes: 0 passed, 1 failed, 2 usage.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type FileResult, labUp, runFile } from './harness/file.ts'
import { findTests, type Kind, kinds } from './harness/find.ts'
import { install, missing, operatorPrograms } from './harness/packages.ts'
import { fileLine, lastLine, overview, total } from './harness/summary.ts'

const options = {
  only: { type: 'string' },
  name: { type: 'string' },
  kills: { type: 'string', default: '3' },
  dir: { type: 'string', default: 'test' },
  out: { type: 'string', default: '.lab' },
  limit: { type: 'string' },
} as const

function usage() {
  const { values, positionals } = parseArgs({ options, allowPositionals: true, strict: true })
  const known = Object.keys(kinds)
  const wrong = positionals.filter((kind) => !known.includes(kind))
  if (wrong.length > 0) throw new Error(`unknown suite ${wrong.join(', ')}; there are ${known.join(', ')}`)
  for (const name of ['kills', 'limit'] as const) {
    if (values[name] !== undefined && !/^[1-9]\d*$/.test(values[name]))
      throw new Error(`--${name} takes a number`)
  }
  const only = new RegExp(values.only ?? '', 'i')
  return { ...values, only, wanted: (positionals.length > 0 ? positionals : ['unit']) as Kind[] }
}

async function runKind(
  kind: Kind,
  files: string[],
  settings: ReturnType<typeof usage>,
): Promise<FileResult[]> {
  const { parallel, limit } = kinds[kind]
  const setting = {
    out: settings.out,
    seconds: Number(settings.limit ?? limit),
    filtered: settings.name !== undefined,
    env: { TEST_KILLS: settings.kills, ...(settings.name === undefined ? {} : { TEST_NAME: settings.name }) },
  }
  const results: FileResult[] = []
  const queue = [...files]
  const worker = async () => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      const result = await runFile(file, setting)
      results.push(result)
      console.log(fileLine(result))
    }
  }
  await Promise.all(Array.from({ length: parallel ? availableParallelism() : 1 }, worker))
  return results
}

async function main(settings: ReturnType<typeof usage>): Promise<boolean> {
  const start = new Date()
  const results: FileResult[] = []
  install(missing(operatorPrograms))
  mkdirSync(join(settings.out, 'logs'), { recursive: true })
  const filesOf = (kind: Kind) => findTests(settings.dir, kind).filter((file) => settings.only.test(file))
  for (const together of [['unit'], ['engine', 'lab'], ['luks'], ['faults']] as const) {
    const runs = together
      .filter((kind) => settings.wanted.includes(kind))
      .map((kind) => ({ kind, files: filesOf(kind) }))
      .filter(({ files }) => files.length > 0)
    const needsLab = runs.some(({ kind }) => kind !== 'unit')
    const lab = needsLab ? await labUp(settings.dir, settings.out) : undefined
    if (lab) results.push(lab)
    if (lab?.problems.length) console.log(fileLine(lab))
    else
      results.push(...(await Promise.all(runs.map((one) => runKind(one.kind, one.files, settings)))).flat())
  }
  const summary = total(results)
  if (summary.passed + summary.failed + summary.skipped === 0) {
    summary.failed++
    console.log(`No test matches: ${process.argv.slice(2).join(' ') || 'unit'}`)
  }
  const report = { ok: summary.failed === 0, ...summary, start, args: process.argv.slice(2), files: results }
  writeFileSync(join(settings.out, 'results.json'), `${JSON.stringify(report, null, 2)}\n`)
  console.log(overview(results))
  console.log(lastLine(summary))
  return report.ok
}

try {
  const settings = usage()
  process.exitCode = (await main(settings)) ? 0 : 1
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 2
}
