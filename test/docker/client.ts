/** A client that speaks to an address under another name, and a constant load that counts what fails. */
import { once } from 'node:events'
import { connect } from 'node:http2'
import { Agent, request } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'

type Options = { method?: string; headers?: Record<string, string>; body?: Buffer; agent?: Agent }
export type Answer = {
  status: number | undefined
  headers: Record<string, string | string[] | undefined>
  body: string
  firstByteMs: number
  ms: number
}

/** One HTTPS request over HTTP/1.1. The certificate is not looked at: it is Caddy's own. */
export function ask(address: string, host: string, path: string, options: Options = {}): Promise<Answer> {
  const start = performance.now()
  const { method = 'GET', headers = {}, body, agent } = options
  const length = body ? { 'content-length': String(body.length) } : {}
  return new Promise((resolve, reject) => {
    const target = {
      host: address,
      servername: host,
      path,
      method,
      rejectUnauthorized: false,
      timeout: 30_000,
    }
    const sent = request(
      { ...target, ...(agent ? { agent } : {}), headers: { host, ...length, ...headers } },
      (response) => {
        const chunks: Buffer[] = []
        let firstByteMs = 0
        response.on('data', (chunk) => {
          firstByteMs ||= performance.now() - start
          chunks.push(chunk)
        })
        response.on('error', reject)
        response.on('end', () =>
          resolve({
            status: response.statusCode,
            headers: response.headers,
            body: Buffer.concat(chunks).toString(),
            firstByteMs,
            ms: performance.now() - start,
          }),
        )
      },
    )
    sent.on('timeout', () => sent.destroy(new Error('timeout')))
    sent.on('error', reject)
    sent.end(body)
  })
}

/**
 * Sends GETs and POSTs while `work` runs and a second longer, each at its time whether or not earlier ones were answered:
 * one in three is a POST of 8 KiB, one in four goes over HTTP/2.
 * @param rate requests a second
 */
export async function load(address: string, host: string, rate: number, work: () => Promise<void>) {
  const agent = new Agent({ keepAlive: true })
  const session = connect(`https://${address}`, { servername: host, rejectUnauthorized: false })
  session.on('error', () => {})
  const body = Buffer.alloc(8192, 'x')
  const errors: Record<string, number> = {}
  const colours: Record<string, number> = {}
  const flying = new Set<Promise<void>>()
  const count = (where: Record<string, number>, what: string) => {
    where[what] = (where[what] ?? 0) + 1
  }

  const http2 = async (path: string, post: boolean): Promise<Pick<Answer, 'status' | 'body'>> => {
    const stream = session.request({ ':authority': host, ':path': path, ':method': post ? 'POST' : 'GET' })
    let text = ''
    stream.setEncoding('utf8').on('data', (data) => (text += data))
    stream.end(post ? body : undefined)
    const [headers] = await once(stream, 'response')
    if (!stream.readableEnded) await once(stream, 'end')
    return { status: headers[':status'], body: text }
  }
  const send = async (n: number): Promise<void> => {
    const post = n % 3 === 2
    const name = `${post ? 'POST' : 'GET'} ${n % 4 === 3 ? 'h2' : 'h1'}`
    const options = post ? { agent, method: 'POST', body } : { agent }
    try {
      const answer = await (n % 4 === 3 ? http2(`/?${n}`, post) : ask(address, host, `/?${n}`, options))
      const [colour = '', bytes] = answer.body.split(' ')
      if (answer.status !== 200) count(errors, `${name} ${answer.status}`)
      else if (bytes !== (post ? '8192' : '0')) count(errors, `${name} with a wrong body`)
      else count(colours, colour)
    } catch (error) {
      count(errors, `${name} ${(error as NodeJS.ErrnoException).code ?? error}`)
    }
  }

  let running = true
  const over = work().finally(async () => {
    await sleep(1000)
    running = false
  })
  over.catch(() => {})
  const start = performance.now()
  let sent = 0
  for (; running; await sleep(2)) {
    for (; start + (sent * 1000) / rate <= performance.now(); sent++) {
      const flight = send(sent).finally(() => flying.delete(flight))
      flying.add(flight)
    }
  }
  await Promise.all(flying)
  agent.destroy()
  session.close()
  await over
  return { sent, errors, colours }
}
