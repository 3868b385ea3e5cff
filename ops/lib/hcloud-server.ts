import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import * as v from 'valibot'
import { type Picked, textIn } from './env.ts'
import { Fail } from './fail.ts'
import { type Api, ask } from './hetzner-api.ts'
import type { Session } from './session.ts'

export const serverNames = [
  'HCLOUD_TOKEN',
  'HCLOUD_SERVER',
  'HCLOUD_API',
  'SERVER_HOST',
  'TRUSTED_ROOT',
] as const

/** A way to one server past its own system: rescue mode, and the power switch. */
export interface ServerApi extends Api {
  /** Name or id, as HCLOUD_SERVER says. */
  server: string
  /** Where we find it, as SERVER_HOST says: its name or address. */
  host: string
}

const server = v.object({
  ...{ id: v.number(), name: v.string(), status: v.string(), rescue_enabled: v.boolean() },
  public_net: v.object({ ipv4: v.nullish(v.object({ ip: v.string() })) }),
})
type Server = v.InferOutput<typeof server>

/** The API of a `.env`; undefined without HCLOUD_TOKEN or HCLOUD_SERVER: then a person does it in the console. */
export function serverApi(
  envFile: string,
  env: Picked<(typeof serverNames)[number]>,
  session: Session,
): ServerApi | undefined {
  const { HCLOUD_TOKEN: token, HCLOUD_SERVER, HCLOUD_API, SERVER_HOST, TRUSTED_ROOT } = env
  if (!token || !HCLOUD_SERVER) return undefined
  const ca = TRUSTED_ROOT && textIn(envFile, 'TRUSTED_ROOT', TRUSTED_ROOT)
  const url = HCLOUD_API.replace(/\/+$/, '')
  const name = 'HCLOUD_API' as const
  return { name, url, token, ca, session, server: HCLOUD_SERVER, host: SERVER_HOST, pace: 500, limit: 30_000 }
}

/**
 * The server as the API has it. It must be the one at SERVER_HOST: what follows cuts its power.
 * @throws Fail `refused` when the token's project does not hold it, or has it at another address
 */
export async function findServer(api: ServerApi): Promise<Server> {
  const found = await named(api)
  const address = found.public_net.ipv4?.ip
  const ours = isIP(api.host) ? [api.host] : await addressesOf(api.host)
  if (address && ours.includes(address)) return found
  throw new Fail(
    'refused',
    `HCLOUD_SERVER: ${found.name} has ${address ? `the address ${address}` : 'no public IPv4 address'}, and SERVER_HOST is ${[...new Set([api.host, ...ours])].join(', ')}. Nothing was done to either: name one server in both`,
  )
}

async function addressesOf(host: string): Promise<string[]> {
  const found = await lookup(host, { all: true, family: 4 }).catch(() => [])
  return found.map(({ address }) => address)
}

async function named(api: ServerApi): Promise<Server> {
  if (/^\d+$/.test(api.server)) {
    const one = await ask(api, 'GET', `/servers/${api.server}`, v.object({ server })).catch(absent)
    if (one) return one.server
  } else {
    const query = `?name=${encodeURIComponent(api.server)}`
    const [found] = (await ask(api, 'GET', `/servers${query}`, v.object({ servers: v.array(server) })))
      .servers
    if (found) return found
  }
  throw new Fail(
    'refused',
    `HCLOUD_SERVER: the project of HCLOUD_TOKEN has no server ${api.server}. Check its name in the console, or make the token in its project`,
  )
}

function absent(error: unknown): undefined {
  if (!(error instanceof Fail && /: 404 /.test(error.message))) throw error
}
