import { request } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import type { PeerCertificate, TLSSocket } from 'node:tls'
import { type Picked, textIn } from './env.ts'
import { Fail } from './fail.ts'

export interface Site {
  /** The public name that is asked for, in SNI and Host. */
  name: string
  /** The server's public address: asked directly, so that the answer is this server's whatever DNS says. */
  address: string
  /** PEM of the root that issued the certificate; the system's roots when left out. */
  ca?: string | undefined
}

export interface SiteAnswer {
  status: number
  body: string
  certificate: PeerCertificate
}

export const siteNames = ['NEXT_PUBLIC_ROOT_DOMAIN', 'PUBLIC_IPV4', 'PUBLIC_CA'] as const

/** The site of a `.env`. @throws Fail `usage` when the PEM that it names cannot be read */
export function siteOf(envFile: string, env: Picked<(typeof siteNames)[number]>): Site {
  const ca = env.PUBLIC_CA && textIn(envFile, 'PUBLIC_CA', env.PUBLIC_CA)
  return { name: env.NEXT_PUBLIC_ROOT_DOMAIN, address: env.PUBLIC_IPV4, ca }
}

/** One GET over HTTPS with the certificate verified. Rejects when there is no valid answer in 10 s. */
export function get(site: Site, path: string): Promise<SiteAnswer> {
  return new Promise((done, fail) => {
    const asked = request(
      {
        host: site.address,
        servername: site.name,
        path,
        headers: { host: site.name },
        agent: false,
        timeout: 10_000,
        ...(site.ca ? { ca: site.ca } : {}),
      },
      (answer) => {
        const certificate = (answer.socket as TLSSocket).getPeerCertificate()
        let body = ''
        answer.setEncoding('utf8')
        answer.on('data', (text) => {
          body += text
        })
        answer.on('end', () => done({ status: answer.statusCode ?? 0, body, certificate }))
        answer.on('error', fail)
      },
    )
    asked.on('timeout', () => asked.destroy(new Slow('no answer in 10 s')))
    asked.on('error', fail)
    asked.end()
  })
}

export interface Patience {
  /** How long to go on asking: minutes for a first certificate, seconds for a site that is up. */
  seconds: number
  /** How long to go on when it is merely slow; as long, unless given. */
  slow?: number
  /** Which statuses are an answer; a page or a redirect, unless given. */
  accepts?: (status: number) => boolean
}

/**
 * Asks until the site answers over valid HTTPS.
 * @throws Fail `failed` with the last answer
 */
export async function waitFor(
  site: Site,
  path: string,
  { seconds, slow = seconds, accepts = (status) => status < 400 }: Patience,
): Promise<SiteAnswer> {
  const start = Date.now()
  for (;;) {
    const last = await get(site, path).catch((error: Error) => error)
    if (!(last instanceof Error) && accepts(last.status)) return last
    const limit = last instanceof Slow ? slow : seconds
    if (Date.now() - start >= limit * 1000) {
      const why = last instanceof Error ? last.message : `HTTP ${last.status}`
      throw new Fail('failed', `https://${site.name}${path} at ${site.address}: ${why}`)
    }
    await sleep(500)
  }
}

/** A name below the domain, as a tenant's: it has a certificate of its own, the wildcard. */
export function below(site: Site): Site {
  return { ...site, name: `status.${site.name}` }
}

/** No answer in the time that one request has. */
class Slow extends Error {}

/** Whole days until a certificate ends. */
export function daysLeft(certificate: PeerCertificate): number {
  return Math.floor((Date.parse(certificate.valid_to) - Date.now()) / 86_400_000)
}
