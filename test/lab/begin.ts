import { spawn } from 'node:child_process'
import type { Run } from './ops.ts'
import { ROOT } from './shell.ts'

export type Started = {
  done: Promise<Run>
  /** Ends it and its children at once, as a lost machine would. */
  kill: () => void
  /** As Ctrl-C at its terminal. True if it still ran. */
  interrupt: () => boolean
}

/** Starts a script as an operator would, in a process group of its own. */
export function begin(env: string, [name, ...args]: [string, ...string[]]): Started {
  const command = ['--import', 'tsx', `ops/${name}.ts`, ...args, '--env', env]
  const child = spawn(process.execPath, command, {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const run: Run = { code: -1, stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    run.stdout += part
  })
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    run.stderr += part
  })
  const done = new Promise<Run>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve({ ...run, code: code ?? -1 }))
  })
  const signal = (name: 'SIGKILL' | 'SIGINT') => {
    try {
      return process.kill(-(child.pid as number), name)
    } catch {
      return false
    }
  }
  return { done, kill: () => signal('SIGKILL'), interrupt: () => signal('SIGINT') }
}

/** Runs a script with a `.env` of the caller's; any exit code is a result. */
export function attempted(env: string, args: [string, ...string[]]): Promise<Run> {
  return begin(env, args).done
}

/** A moment between two times, in milliseconds. */
export function sometime(from: number, to: number): Promise<void> {
  return new Promise((done) => setTimeout(done, from + Math.random() * (to - from)))
}
