/** Runs one test file as a process of its own and judges how it went. */
import { spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Ended, judge, REPORT, readReport } from './report.ts'

export type FileResult = {
  file: string
  seconds: number
  tests: Ended[]
  /** Why the file as a whole does not count as sound; empty if it does. */
  problems: string[]
  log: string
}

export type Setting = { out: string; seconds: number; filtered: boolean; env: Record<string, string> }

const running = new Set<number>()

/**
 * Runs a test file. What it prints goes to a log file, which also a process that it left behind may hold open.
 * @param setting seconds: time limit for the file; env: more environment; filtered: no test at all is fine
 */
export async function runFile(file: string, { out, seconds, filtered, env }: Setting): Promise<FileResult> {
  const log = join(out, 'logs', `${file.replaceAll('/', '-')}.log`)
  const report = log.replace(/\.log$/, '.jsonl')
  rmSync(report, { force: true })
  const environment = { LAB_ENV: resolve(out, '.env'), ...env, [REPORT]: resolve(report) }
  const ran = await runNode(['--import', 'tsx', file], log, seconds, environment)
  const { ended, problems } = judge(readReport(report), ran.code, filtered)
  if (ran.late) problems.unshift(`took longer than ${seconds} s and was killed`)
  return { file, seconds: ran.seconds, tests: ended, problems, log }
}

/** Brings the lab up; it counts as a file without tests, which fails if it does not come up in half an hour. */
export async function labUp(dir: string, out: string): Promise<FileResult> {
  const file = join(dir, 'lab', 'up.ts')
  const log = join(out, 'logs', 'lab-up.log')
  console.log(`  lab   coming up; progress in ${log}`)
  const env = { LAB_ENV: resolve(out, '.env') }
  const ran = await runNode(['--import', 'tsx', file], log, 1800, env)
  const problems = ran.code === 0 ? [] : [`the lab did not come up (exit code ${ran.code ?? 'none'})`]
  return { file, seconds: ran.seconds, tests: [], problems, log }
}

async function runNode(args: string[], log: string, seconds: number, env: Record<string, string>) {
  const start = performance.now()
  const { FORCE_COLOR: _, ...inherited } = process.env
  const fd = openSync(log, 'w')
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', fd, fd],
    detached: true,
    // As ops/lib/cli.ts: bash reads .bashrc when its stdin is a socket, as Node's are, and SHLVL is under 2.
    env: { ...inherited, NO_COLOR: '1', SHLVL: '2', ...env },
  })
  closeSync(fd)
  let late = false
  const timers = [
    setTimeout(() => {
      late = true
      signalGroup(child.pid, 'SIGTERM')
    }, seconds * 1000),
    setTimeout(() => signalGroup(child.pid, 'SIGKILL'), seconds * 1000 + 5000),
  ]
  if (child.pid) running.add(child.pid)
  const code = await new Promise<number | null>((done, fail) => child.once('exit', done).once('error', fail))
  for (const timer of timers) clearTimeout(timer)
  if (child.pid) running.delete(child.pid)
  return { code, late, seconds: (performance.now() - start) / 1000 }
}

/** Signals a test file and the programs it started, which form one process group. */
function signalGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  try {
    if (pid) process.kill(-pid, signal)
  } catch {} // it has ended already
}

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.once(signal, () => {
    for (const pid of running) signalGroup(pid, 'SIGTERM')
    process.exit(code)
  })
}

/** What a file printed, for the reader of a failure. */
export function readLog(log: string): string {
  return existsSync(log) ? readFileSync(log, 'utf8').trimEnd() : ''
}
