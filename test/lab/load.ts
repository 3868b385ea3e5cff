import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Agent, request } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import { post } from './browser.ts'
import type { World } from './world.ts'

export type Load = {
  world: World
  /** Requests a second, sent at their time whether or not earlier ones were answered. */
  rate: number
  /** Started once the load runs; the load lasts as long as this. */
  during: () => PromiseLike<unknown>
  /** Seconds of load after `during` is over, so that what it set in motion is seen. */
  after?: number
  tenant?: string
}

export type Measured = {
  sent: number
  /** How long requests were sent. */
  seconds: number
  failed: number
  /** Number of failures of each kind: `HTTP 502`, `ECONNRESET`, `timeout`. */
  errors: Record<string, number>
  /** Milliseconds from the time a request was due to the end of its answer. */
  p50: number
  p99: number
  max: number
  /** The ids of the documents whose POST was answered with 201. */
  accepted: string[]
}

const PATIENCE = 30_000

/**
 * Sends, over HTTP/1.1 keep-alive connections, every third time a POST with an id of its own, every twelfth time a GET of the
 * page, else a GET of one document: a mix that two cores can serve while they also run the deploy.
 */
export async function load({ world, rate, during, after = 3, tenant = 'acme' }: Load): Promise<Measured> {
  const first = randomUUID()
  await post(world, first, 'what the load reads', tenant)
  const agent = new Agent({ keepAlive: true, keepAliveMsecs: 1000, scheduling: 'lifo' })
  const host = `${tenant}.${world.domain}`
  const target = { agent, host: world.server.address, servername: host, ca: readFileSync(world.publicCa) }
  const latencies: number[] = []
  const errors: Record<string, number> = {}
  const accepted: string[] = []
  const flying = new Set<Promise<void>>()
  let sent = 0

  const send = (due: number): void => {
    const id = sent % 3 === 2 ? randomUUID() : undefined
    const path = sent++ % 12 === 0 ? '/' : `/api/documents/${first}`
    const flight = once(target, host, path, id).then((problem) => {
      latencies.push(performance.now() - due)
      if (problem !== undefined) errors[problem] = (errors[problem] ?? 0) + 1
      else if (id !== undefined) accepted.push(id)
      flying.delete(flight)
    })
    flying.add(flight)
  }

  let running = true
  const start = performance.now()
  const over = sleep(1000)
    .then(during)
    .finally(async () => {
      await sleep(after * 1000)
      running = false
    })
  over.catch(() => {})
  for (let next = 0; running; await sleep(1)) {
    for (; start + (next * 1000) / rate <= performance.now(); next++) send(start + (next * 1000) / rate)
  }
  const seconds = (performance.now() - start) / 1000
  await Promise.all(flying)
  agent.destroy()
  await over
  latencies.sort((a, b) => a - b)
  const at = (share: number) =>
    latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? 0
  const failed = Object.values(errors).reduce((sum, count) => sum + count, 0)
  return { sent, seconds, failed, errors, p50: at(0.5), p99: at(0.99), max: at(1), accepted }
}

type Target = { agent: Agent; host: string; servername: string; ca: Buffer }

/** Undefined if all went well, else the kind of failure. */
function once(
  target: Target,
  host: string,
  path: string,
  id: string | undefined,
): Promise<string | undefined> {
  const body = id === undefined ? undefined : JSON.stringify({ id, body: `load ${id}` })
  const options = {
    ...target,
    method: body ? 'POST' : 'GET',
    path: body ? '/api/documents' : path,
    headers: body ? { host, 'content-type': 'application/json', 'content-length': body.length } : { host },
    signal: AbortSignal.timeout(PATIENCE),
  }
  const wanted = body ? 201 : 200
  const kind = (error: NodeJS.ErrnoException) =>
    error.name === 'AbortError' ? 'timeout' : (error.code ?? error.message)
  return new Promise((resolve) => {
    const sent = request(options, (response) => {
      response.on('error', (error) => resolve(kind(error)))
      response.on('end', () =>
        resolve(response.statusCode === wanted ? undefined : `HTTP ${response.statusCode}`),
      )
      response.resume()
    })
    sent.on('error', (error) => resolve(kind(error)))
    sent.end(body)
  })
}
