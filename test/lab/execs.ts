import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { containerName } from './containers.ts'
import { $, text, until } from './shell.ts'

/** One program that was started, as the kernel saw it. */
export type Exec = {
  /** The root that it descends from. */
  side: string
  pid: number
  parent: number
  /** The PID namespace, such as `pid:[4026531836]`. */
  namespace: string
  /** Its control groups; Docker's end in the container's id. */
  groups: string
  program: string
  argv: string[]
  env: string[]
}

export type Recording = {
  /** Lets everybody go. @returns every program that was started since */
  stop: () => Promise<Exec[]>
}

/**
 * Records every program that some processes and all their descendants start, with argv and environment. They go on at full
 * speed, and are neither stopped nor ended. Needs root. The records hold secrets; they are removed by `stop`.
 * @param roots process ids by the name of the side
 */
export async function recordExecs(roots: Record<string, number[]>): Promise<Recording> {
  const dir = mkdtempSync(join(tmpdir(), 'everyskill-execs-'))
  const out = join(dir, 'execs')
  const named = Object.entries(roots).flatMap(([side, pids]) => pids.map((pid) => `${side}=${pid}`))
  const script = join(import.meta.dirname, 'execs.pl')
  const tracer = spawn('perl', [script, out, ...named], { stdio: ['ignore', 'ignore', 'pipe'] })
  let complaint = ''
  tracer.stderr.setEncoding('utf8').on('data', (part: string) => {
    complaint += part
  })
  const gone = new Promise<void>((resolve) => tracer.once('close', () => resolve()))
  const lines = () => readFileSync(out, 'utf8').split('\n')
  await until('the recorder', 20, async () => {
    if (tracer.exitCode !== null) throw new Error(`execs.pl: ${complaint}`)
    return readdirSync(dir).length > 0 && lines()[0] === 'attached' ? true : undefined
  })
  return {
    stop: async () => {
      tracer.kill('SIGTERM')
      await gone
      const all = lines()
      rmSync(dir, { recursive: true })
      if (all.at(-2) !== 'end') throw new Error(`the recorder ended early: ${complaint}`)
      return all.slice(1, -2).map(parsed)
    },
  }
}

/** A line of what execs.pl writes. */
export function parsed(line: string): Exec {
  const [, side = '', pid, parent, namespace = '', groups = '', program = '', argv = '', env = ''] =
    line.split('\t')
  const words = (hex: string) => Buffer.from(hex, 'hex').toString('latin1').split('\0').slice(0, -1)
  return {
    ...{ side, pid: Number(pid), parent: Number(parent), namespace, groups, program },
    ...{ argv: words(argv), env: words(env) },
  }
}

/** The processes of this machine's own engine: dockerd, and containerd where that is a service of its own. */
export function enginePids(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && isEngine(`/proc/${name}`))
    .map(Number)
}

/** By name, and in our own PID namespace: the lab's server has an engine too. */
function isEngine(process: string): boolean {
  try {
    const name = readFileSync(`${process}/comm`, 'utf8').trim()
    const here = readlinkSync(`${process}/ns/pid`) === readlinkSync('/proc/self/ns/pid')
    return here && (name === 'dockerd' || name === 'containerd')
  } catch {
    return false
  }
}

/** The first process of one of the lab's machines; all others there descend from it. */
export async function machinePid(name: string): Promise<number> {
  return Number(await text($`docker inspect --format {{.State.Pid}} ${containerName(name)}`))
}
