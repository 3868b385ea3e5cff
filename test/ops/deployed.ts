import { spawn } from 'node:child_process'
import { prepareApp } from '../lab/app.ts'
import { ops, type Run } from '../lab/ops.ts'
import { ROOT } from '../lab/shell.ts'
import { labUp, type World } from '../lab/world.ts'

/** The lab with a release on its server, built and deployed first if there is none, and with this repository as it is now. */
export async function deployed(): Promise<World> {
  const world = await labUp()
  const runs = await world.server.exec(
    'docker ps -q --filter label=com.docker.compose.project=everyskill --filter label=com.docker.compose.service=postgres',
  )
  if (runs === '') {
    await prepareApp()
    await ops(['build'])
  }
  await ops(['bootstrap'])
  if (runs === '') await ops(['deploy'])
  return world
}

/** Runs SQL as the administrator in the live database; columns separated by `|`. */
export function sql(world: World, text: string, database = 'everyskill'): Promise<string> {
  const postgres =
    'docker ps -q --filter label=com.docker.compose.project=everyskill --filter label=com.docker.compose.service=postgres'
  const encoded = Buffer.from(text).toString('base64')
  return world.server.exec(
    `echo ${encoded} | base64 -d | docker exec -i -u postgres "$(${postgres})" psql -X -q -v ON_ERROR_STOP=1 -At -d ${database}`,
  )
}

export type Started = { done: Promise<Run>; kill: () => void }

/** Starts a script as an operator would; `kill` ends it and its children at once, as a lost machine would. */
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
  const kill = () => {
    try {
      process.kill(-(child.pid as number), 'SIGKILL')
    } catch {
      // It has ended by itself.
    }
  }
  return { done, kill }
}

/** Runs a script with a `.env` of the caller's; any exit code is a result. */
export function attempted(env: string, args: [string, ...string[]]): Promise<Run> {
  return begin(env, args).done
}

/** A moment between two times, in milliseconds. */
export function sometime(from: number, to: number): Promise<void> {
  return new Promise((done) => setTimeout(done, from + Math.random() * (to - from)))
}
