import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { ROOT } from './shell.ts'
import { lab } from './world.ts'

export type Run = { code: number; stdout: string; stderr: string }

/** The exit code of a script whose lock somebody else holds. */
const locked = 4

/**
 * Runs `tsx ops/NAME.ts ... --env .lab/.env` as an operator would; its progress goes to this process's stderr. While a job
 * of the server's cron holds the lock that it needs, it is tried again, for a minute.
 * @returns what it printed on stdout
 * @throws if its exit code is not 0
 */
export async function ops([name, ...args]: [string, ...string[]]): Promise<string> {
  let run = await start([name, ...args], true)
  for (let again = 0; run.code === locked && again < 12; again++) {
    await sleep(5000)
    run = await start([name, ...args], true)
  }
  if (run.code !== 0) throw new Error(`ops/${name}.ts ended with ${run.code}: ${lastLine(run.stderr)}`)
  return run.stdout
}

/** As `ops`, but silent, and any exit code is a result. */
export function tryOps(args: [string, ...string[]]): Promise<Run> {
  return start(args, false)
}

function start([name, ...args]: [string, ...string[]], show: boolean): Promise<Run> {
  const command = ['--import', 'tsx', `ops/${name}.ts`, ...args, '--env', lab().env]
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, command, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] })
    const run: Run = { code: -1, stdout: '', stderr: '' }
    child.stdout.setEncoding('utf8').on('data', (part: string) => {
      run.stdout += part
    })
    child.stderr.setEncoding('utf8').on('data', (part: string) => {
      run.stderr += part
      if (show) process.stderr.write(part)
    })
    child.on('error', reject)
    child.on('close', (code) => resolve({ ...run, code: code ?? -1 }))
  })
}

const lastLine = (text: string) => text.trim().split('\n').at(-1) ?? ''
