import { mkdirSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ProcessOutput, $ as zx } from 'zx'

/** The repository's root. */
export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../..')

/** `.lab/`: all that the lab writes on this machine. */
export const LAB = join(ROOT, '.lab')

/** zx with standard input closed and nothing printed: zx's default keeps an open pipe as stdin for ever. */
export const $ = zx({ quiet: true, verbose: false, input: '' })

/** As `$`, but a failure is a result, not an exception. */
export const $try = zx({ quiet: true, verbose: false, input: '', nothrow: true })

/** Standard output without its last newline. zx's own `.text()` mixes stderr in. */
export async function text(process: PromiseLike<ProcessOutput>): Promise<string> {
  return (await process).stdout.trimEnd()
}

/** A path under `.lab/` whose directory exists. */
export function labPath(...parts: string[]): string {
  const path = join(LAB, ...parts)
  mkdirSync(dirname(path), { recursive: true })
  return path
}

/** A directory under `.lab/`, made if need be; a new one can be read by its owner only. */
export function labDir(...parts: string[]): string {
  const path = join(LAB, ...parts)
  mkdirSync(path, { recursive: true, mode: 0o700 })
  return path
}

/** Runs one named step, with its duration on stderr; a failure names the step and shows the end of its output. */
export async function step<T>(name: string, work: () => Promise<T>): Promise<T> {
  const start = performance.now()
  try {
    const result = await work()
    process.stderr.write(`lab: ${name} (${((performance.now() - start) / 1000).toFixed(1)} s)\n`)
    return result
  } catch (error) {
    throw new Error(`lab: ${name} failed: ${reason(error)}`, { cause: error })
  }
}

function reason(error: unknown): string {
  if (!(error instanceof ProcessOutput)) return error instanceof Error ? error.message : String(error)
  const tail = `${error.stderr}\n${error.stdout}`.trim().split('\n').slice(-30).join('\n')
  return `exit ${error.exitCode ?? error.signal}\n${tail}`
}

/** Asks `probe` until it returns something other than undefined; throws with `what` after `seconds`. */
export async function until<T>(
  what: string,
  seconds: number,
  probe: () => Promise<T | undefined>,
): Promise<T> {
  const end = Date.now() + seconds * 1000
  for (;;) {
    const result = await probe()
    if (result !== undefined) return result
    if (Date.now() > end) throw new Error(`lab: waited ${seconds} s for ${what}`)
    await new Promise((done) => setTimeout(done, 200))
  }
}
