import { type Picked, textIn } from './env.ts'
import { Fail } from './fail.ts'
import type { Host } from './host.ts'
import { sh } from './sh.ts'

type ZoneEnv = Picked<'NEXT_PUBLIC_ROOT_DOMAIN' | 'HETZNER_DNS_API_TOKEN' | 'TRUSTED_ROOT'>

/** Runs inside the web image: the server itself needs no tool for it. stdin: the token, then perhaps the root to trust. */
const ask = `
const [token, ...root] = require('node:fs').readFileSync(0, 'utf8').split('\\n')
const about = { headers: { authorization: 'Bearer ' + token }, timeout: 20000 }
if (root.length > 0) about.ca = root.join('\\n')
require('node:https').get('https://api.hetzner.cloud/v1/zones?name=' + process.argv[1], about, (answer) => {
  let text = ''
  answer.on('data', (part) => { text += part }).on('end', () => {
    let body = {}
    try { body = JSON.parse(text) } catch {}
    console.log(answer.statusCode, body.zones?.length ?? 0, body.error?.message ?? '')
  })
}).on('timeout', function () { this.destroy(new Error('no answer in 20 s')) })
  .on('error', (error) => console.log(0, 0, error.code ?? error.message))`

/**
 * Asks the Hetzner Cloud API, from the server and over its network, whether the token opens the zone. Caddy with a wrong
 * token starts, looks healthy and never gets a certificate, so this is asked before the token is written anywhere.
 * @see https://docs.hetzner.cloud/reference/cloud#dns
 * @throws Fail `refused` when the token is refused or its project does not hold the zone
 */
export async function checkZone(host: Host, image: string, envFile: string, env: ZoneEnv): Promise<void> {
  const zone = env.NEXT_PUBLIC_ROOT_DOMAIN
  const root = env.TRUSTED_ROOT ? `\n${textIn(envFile, 'TRUSTED_ROOT', env.TRUSTED_ROOT)}` : ''
  const answer = await host.run(
    sh`docker run --rm -i --pull never --read-only --cap-drop ALL ${image} node -e ${ask} ${zone}`,
    { input: `${env.HETZNER_DNS_API_TOKEN}${root}` },
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
