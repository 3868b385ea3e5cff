import { request } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import * as v from 'valibot'
import { Fail } from './fail.ts'
import type { Session } from './session.ts'

/** A way into an API of Hetzner's. */
export interface Api {
  /** The name in `.env` that its address comes from. */
  name: 'HCLOUD_API' | 'HETZNER_API'
  /** Without a slash at its end: https://api.hetzner.com/v1 */
  url: string
  token: string
  /** PEM of the root to trust; the system's roots when left out. */
  ca?: string | undefined
  session: Session
  /** Milliseconds between two looks at an action; the first retry waits as long, later ones up to 30 times that. */
  pace: number
  /** Milliseconds that one request may take. */
  limit: number
}

/** At the usual pace of half a second: two minutes. */
const retries = 12
const begun = 'It may have begun over there'

const failure = v.object({ error: v.object({ code: v.string(), message: v.string() }) })

/**
 * Asks once and, while the API says that it is busy, again: locked (another action runs), conflict, too many requests,
 * a gateway's error. hcloud-go repeats the same ones but locked (client_handler_retry.go). After a gateway's error a POST is
 * not sent again: it may have been done, and a second reset leaves the rescue system.
 * @param shape what the answer must hold
 * @throws Fail that names the call, the API's code and message, and what mends it: `noConnection`, `locked`, `refused`
 *   (a wrong token, or one that may only read), else `failed`. The token is in none of them.
 */
export async function ask<S extends v.GenericSchema>(
  api: Api,
  method: 'GET' | 'POST',
  path: string,
  shape: S,
  body?: unknown,
): Promise<v.InferOutput<S>> {
  const call = `${method} ${api.url}${path}`
  for (let again = 0; ; again++) {
    const { status, text } = await send(api, method, path, body).catch((error: NodeJS.ErrnoException) => {
      const mend = `Check ${api.name}, this machine's network and, for a certificate, TRUSTED_ROOT`
      throw new Fail(
        'noConnection',
        `${call}: ${error.message || error.code}. ${method === 'POST' ? `${begun}. ` : ''}${mend}`,
      )
    })
    const said = parse(text)
    if (status >= 200 && status < 300) {
      const good = v.safeParse(shape, said)
      if (good.success) return good.output
      throw new Fail('failed', `${call}: ${status} with an answer that is not this API's. Check ${api.name}`)
    }
    const { code, message } = v.is(failure, said) ? said.error : { code: '', message: 'without a reason' }
    const words = `${call}: ${status} ${[code, message].filter(Boolean).join(': ')}`
    const gateway = [502, 503, 504].includes(status)
    const busy = ['locked', 'conflict'].includes(code) || status === 429 || (gateway && method === 'GET')
    if (!busy || again === retries)
      throw refusal(api, gateway && method === 'POST' ? `${words}. ${begun}` : words, status, code)
    if (again === 0) api.session.say(`${words}; trying again`)
    await sleep(api.pace * Math.min(2 ** again, 30))
  }
}

function send(
  api: Api,
  method: string,
  path: string,
  body: unknown,
): Promise<{ status: number; text: string }> {
  const content = body === undefined ? '' : JSON.stringify(body)
  const headers = {
    authorization: `Bearer ${api.token}`,
    ...(content ? { 'content-type': 'application/json', 'content-length': Buffer.byteLength(content) } : {}),
  }
  const signal = AbortSignal.timeout(api.limit)
  return new Promise((done, reject) => {
    const fail = (error: Error) =>
      reject(signal.aborted ? new Error(`no answer in ${api.limit / 1000} s`) : error)
    const trust = api.ca ? { ca: api.ca } : {}
    const asked = request(
      `${api.url}${path}`,
      { method, headers, agent: false, signal, ...trust },
      (answer) => {
        let text = ''
        answer.setEncoding('utf8')
        answer.on('data', (part) => {
          text += part
        })
        answer.on('end', () => done({ status: answer.statusCode ?? 0, text }))
        answer.on('error', fail)
      },
    )
    asked.on('error', fail)
    asked.end(content)
  })
}

function refusal(api: Api, words: string, status: number, code: string): Fail {
  const make = 'make one in the project of the server and the Storage Box (Read & Write), put it in .env'
  if (code === 'token_readonly') return new Fail('refused', `${words}. HCLOUD_TOKEN may only read: ${make}`)
  if (code === 'forbidden') return new Fail('refused', `${words}. HCLOUD_TOKEN may not do this: ${make}`)
  if (status === 401) return new Fail('refused', `${words}. HCLOUD_TOKEN is wrong or was deleted: ${make}`)
  if (code === 'locked')
    return new Fail('locked', `${words}. Another action runs there: try again when it has ended`)
  if (status === 429 || code === 'conflict' || status >= 500)
    return new Fail('failed', `${words}. Try again later; status.hetzner.com tells of faults`)
  if (status === 404) return new Fail('failed', `${words}. Check ${api.name}`)
  return new Fail('failed', `${words}. Hetzner's console shows what it objects to`)
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
