import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import type { Run } from '../ops.ts'
import { $try, ROOT } from '../shell.ts'

export interface Running {
  done: Promise<Run>
  /** What it said on stderr until now. */
  said: () => string
  /** Ends it and its children at once, as a lost operator's machine would. */
  kill: () => void
  /** Ends its ssh connections: to the script the network is lost. */
  cut: () => Promise<void>
}

/** Starts a script with a `.env`, as an operator whose answers come on stdin, a line each. */
export function start(env: string, [name, ...args]: [string, ...string[]], answers: string[] = []): Running {
  const command = ['--import', 'tsx', `ops/${name}.ts`, ...args, '--env', env]
  const child = spawn(process.execPath, command, { cwd: ROOT, detached: true })
  const run: Run = { code: -1, stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    run.stdout += part
  })
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    run.stderr += part
    process.stderr.write(part)
  })
  child.stdin.on('error', () => {}).end(answers.map((line) => `${line}\n`).join(''))
  const done = new Promise<Run>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve({ ...run, code: code ?? -1 }))
  })
  const pid = child.pid as number
  const cut = async () =>
    void (await $try`pkill -KILL -g ${pid} -x ssh; pkill -KILL -f ${`^ssh: /tmp/everyskill-${pid}-`}`)
  const kill = () => {
    try {
      process.kill(-pid, 'SIGKILL')
    } catch (error) {
      // A script that has lost its host may have ended by itself.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }
  return { done, said: () => run.stderr, kill, cut }
}

/** A passphrase as custodians are told to make them. */
export function passphrase(): string {
  return randomBytes(18).toString('base64')
}
