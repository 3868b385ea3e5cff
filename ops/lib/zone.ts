import type { Picked } from './env.ts'
import { Fail } from './fail.ts'
import type { Host } from './host.ts'
import { paths } from './paths.ts'
import { sh } from './sh.ts'

type ZoneEnv = Picked<'NEXT_PUBLIC_ROOT_DOMAIN' | 'HETZNER_DNS_API_TOKEN' | 'TRUSTED_ROOT'>

/** Runs inside the web image: the server itself needs no tool for it. The token comes on stdin. */
const ask = `
let token = ''
process.stdin.on('data', (text) => { token += text }).on('end', async () => {
  const answer = await fetch('https://api.hetzner.cloud/v1/zones?name=' + process.argv[1], {
    headers: { authorization: 'Bearer ' + token }, signal: AbortSignal.timeout(20000),
  }).catch((error) => ({ status: 0, json: async () => ({ error: { message: String(error.cause?.code ?? error.message) } }) }))
  const body = await answer.json().catch(() => ({}))
  console.log(answer.status, body.zones?.length ?? 0, body.error?.message ?? '')
})`

/**
 * Asks the Hetzner Cloud API, from the server and over its network, whether the token opens the zone. Caddy with a wrong
 * token starts, looks healthy and never gets a certificate, so this is asked before.
 * @see https://docs.hetzner.cloud/reference/cloud#dns
 * @throws Fail `refused` when the token is refused or its project does not hold the zone
 */
export async function checkZone(host: Host, image: string, env: ZoneEnv): Promise<void> {
  const zone = env.NEXT_PUBLIC_ROOT_DOMAIN
  const root = `${paths.caddy}/trusted-root.pem`
  const trust = env.TRUSTED_ROOT ? sh`-e NODE_EXTRA_CA_CERTS=/root.pem -v ${`${root}:/root.pem:ro`}` : sh``
  const answer = await host.run(
    sh`docker run --rm -i --read-only --cap-drop ALL ${trust} ${image} node -e ${ask} ${zone}`,
    { input: env.HETZNER_DNS_API_TOKEN },
  )
  if (answer === '') return
  const [status = '0', zones = '0', ...message] = answer.split(' ')
  if (status === '200' && zones !== '0') return
  const why =
    status === '200'
      ? `its project does not hold the zone ${zone}`
      : status === '0'
        ? `the API could not be reached from the server: ${message.join(' ')}`
        : `the API answered ${status} ${message.join(' ')}`
  throw new Fail(
    'refused',
    `HETZNER_DNS_API_TOKEN: ${why}. Make one in the project that holds only the zone (Read & Write), put it in .env`,
  )
}
