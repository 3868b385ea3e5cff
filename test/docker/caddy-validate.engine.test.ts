/** The Caddy image that docker/Dockerfile.caddy builds, under the limits of the Compose file, with our Caddyfile. */
import { readFileSync } from 'node:fs'
import * as assert from 'uvu/assert'
import { describe } from '../describe.ts'
import { build, settings, World } from './world.ts'

const TOKEN = 'a-token-that-is-only-a-test'
const CONFIG = ['--config', '/etc/caddy/Caddyfile', '--adapter', 'caddyfile']

describe('the Caddy image', { timeout: 120_000 }, ({ test, before, after }) => {
  let world: World
  before(
    async () => {
      await build('caddy')
      world = new World()
      world.write('env/caddy/hetzner_dns_api_token', `${TOKEN}\n`, 1000)
    },
    { timeout: 1_200_000 },
  )
  after(() => world.remove())

  const run = (...args: string[]) => world.compose(['run', '--rm', '--no-deps', '-T', 'caddy', ...args])

  test('has the Hetzner module', async () => {
    const { stdout } = await run('caddy', 'list-modules')
    assert.ok(stdout.split('\n').includes('dns.providers.hetzner'))
  })

  test('finds the Caddyfile valid, with resolvers too', async () => {
    for (const resolvers of ['', 'resolvers 10.88.0.4']) {
      world.settings({ ...settings, ACME_RESOLVERS: resolvers })
      const { ok, stderr } = await run('caddy', 'validate', ...CONFIG)
      assert.ok(ok, stderr)
      assert.not.match(stderr, /"level":"(warn|error)"/)
    }
    world.settings(settings)
  })

  test('finds a mistake in it', async () => {
    const good = readFileSync('docker/Caddyfile', 'utf8')
    world.write('caddy/Caddyfile', good.replace('lb_policy first', 'lb_policy fist'))
    const { ok, stderr } = await run('caddy', 'validate', ...CONFIG)
    world.write('caddy/Caddyfile', good)
    assert.not(ok)
    assert.match(stderr, 'fist')
  })

  test('keeps the token out of the configuration and of what inspect shows', async () => {
    const { ok, stdout } = await run('caddy', 'adapt', ...CONFIG)
    assert.ok(ok)
    assert.match(stdout, '{file./run/caddy/hetzner_dns_api_token}')
    assert.not.match(stdout, TOKEN)
    const config = await world.compose(['config'])
    assert.not.match(config.stdout, TOKEN)
  })

  test('reads the token, writes its data and nothing else, and has no capability', async () => {
    const script = `id -u; cat /run/caddy/hetzner_dns_api_token; grep -E '^(CapEff|NoNewPrivs)' /proc/self/status
      for at in /data/caddy /config/caddy /etc/caddy /usr/bin; do touch $at/x 2> /dev/null && echo $at; done; true`
    const { stdout } = await run('sh', '-c', script)
    assert.equal(stdout.trim().split(/\s+/), [
      ...['1000', TOKEN, 'CapEff:', '0000000000000000', 'NoNewPrivs:', '1'],
      ...['/data/caddy', '/config/caddy'],
    ])
  })
})
