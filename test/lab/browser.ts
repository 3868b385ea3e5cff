import { readFileSync } from 'node:fs'
import type { IncomingHttpHeaders } from 'node:http'
import { request } from 'node:https'
import type { PeerCertificate, TLSSocket } from 'node:tls'
import type { World } from './world.ts'

export type Page = {
  status: number
  headers: IncomingHttpHeaders
  body: string
  certificate: PeerCertificate
}
export type Asked = { method?: string; headers?: Record<string, string>; body?: string; timeout?: number }

/**
 * One HTTPS request on a connection of its own to the lab's server, for a public name; the certificate must be good for that name.
 * @param asked.timeout milliseconds of silence before it fails
 */
export function open(world: World, host: string, path: string, asked: Asked = {}): Promise<Page> {
  const { method = 'GET', headers = {}, body, timeout = 15_000 } = asked
  return new Promise((resolve, reject) => {
    const options = {
      ...{ host: world.server.address, servername: host, path, method, timeout, agent: false },
      ...{ ca: readFileSync(world.publicCa), headers: { host, ...headers } },
    }
    const sent = request(options, (response) => {
      const certificate = (response.socket as TLSSocket).getPeerCertificate()
      let received = ''
      response.setEncoding('utf8').on('data', (part: string) => {
        received += part
      })
      response.on('error', reject)
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: received, certificate }),
      )
    })
    sent.on('timeout', () => sent.destroy(new Error(`https://${host}${path}: no answer for ${timeout} ms`)))
    sent.on('error', reject)
    sent.end(body)
  })
}

/** Writes one document under the id given. @throws unless it was new */
export async function post(world: World, id: string, body: string, tenant = 'acme'): Promise<void> {
  const page = await open(world, `${tenant}.${world.domain}`, '/api/documents', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ id, body }),
  })
  if (page.status !== 201)
    throw new Error(`POST /api/documents: HTTP ${page.status} ${page.body.slice(0, 200)}`)
}

/** How many documents a tenant has. */
export async function documents(world: World, tenant = 'acme'): Promise<number> {
  const page = await open(world, `${tenant}.${world.domain}`, '/api/documents?limit=0')
  if (page.status !== 200)
    throw new Error(`GET /api/documents: HTTP ${page.status} ${page.body.slice(0, 200)}`)
  return JSON.parse(page.body).count
}
