/**
 * What can be reached, from the operator's side of the lab's network and from inside the containers. Every "no" stands beside
 * a "yes" that the same probe gave, so that a blind probe cannot pass.
 */
import * as assert from 'uvu/assert'
import { describe } from './describe.ts'
import { deployed } from './lab/deployed.ts'
import { ADDRESS } from './lab/keys.ts'
import { attempt, quicVersions, scan } from './lab/scan.ts'
import { $, $try, until } from './lab/shell.ts'
import type { World } from './lab/world.ts'

const canaryPort = 47_011
type Service = 'caddy' | 'web' | 'postgres'
type Network = 'everyskill_backend' | 'everyskill_frontend'

describe('exposure', { timeout: 90_000 }, ({ test, before }) => {
  let world: World
  const ids = { caddy: '', web: '', postgres: '' }
  before(
    async () => {
      world = await deployed()
      const live = await world.server.exec('cut -d " " -f 1 /opt/everyskill/live/colours')
      const services = { caddy: 'caddy', web: `web-${live}`, postgres: 'postgres' }
      for (const [name, service] of Object.entries(services))
        ids[name as Service] = await world.server.exec(
          `docker ps -q --filter label=com.docker.compose.project=everyskill --filter label=com.docker.compose.service=${service}`,
        )
      for (const [name, id] of Object.entries(ids)) assert.match(id, /^[0-9a-f]{12}$/, name)
    },
    { timeout: 1_000_000 },
  )

  const address = (service: Service, network: Network) =>
    world.server.exec(
      `docker inspect --format '{{(index .NetworkSettings.Networks "${network}").IPAddress}}' ${ids[service]}`,
    )

  test('of all 65535 TCP ports exactly 22, 80 and 443 answer', async () => {
    const found = await scan(world.server.address)
    assert.equal(found, { open: [22, 80, 443], refused: 65_532, silent: 0 })
  })

  test('the same scan finds a canary that listens on a high port', async () => {
    const listen = `require('net').createServer((s) => s.end()).listen(${canaryPort}, '0.0.0.0')`
    const pid = await world.server.exec(
      `nohup /opt/everyskill/node/bin/node -e "${listen}" > /dev/null 2>&1 < /dev/null & echo $!`,
    )
    try {
      await until('the canary', 10, async () =>
        (await attempt(world.server.address, canaryPort)) === 'open' ? true : undefined,
      )
      assert.equal((await scan(world.server.address)).open, [22, 80, 443, canaryPort])
    } finally {
      await world.server.exec(`kill ${pid}`)
    }
  })

  test('HTTP/3 answers on UDP 443, and QUIC on no other port', async () => {
    assert.ok((await quicVersions(world.server.address, 443))?.includes(1))
    assert.is(await quicVersions(world.server.address, 444), undefined)
  })

  test('only Caddy publishes ports, on the public address alone', async () => {
    const ports = async (service: Service) =>
      (await world.server.exec(`docker port ${ids[service]}`)).split('\n').filter(Boolean).sort()
    const host = world.server.address
    const wanted = ['443/tcp', '443/udp', '80/tcp'].map(
      (port) => `${port} -> ${host}:${Number.parseInt(port, 10)}`,
    )
    assert.equal(await ports('caddy'), wanted)
    assert.equal([await ports('web'), await ports('postgres')], [[], []])
  })

  test('a route to the containers reaches Caddy, and neither the database nor the app', async () => {
    const targets = {
      caddy: await address('caddy', 'everyskill_frontend'),
      postgres: await address('postgres', 'everyskill_backend'),
      frontend: await address('web', 'everyskill_frontend'),
      backend: await address('web', 'everyskill_backend'),
    }
    // They do listen: the server itself, which the containers trust, can connect.
    for (const [host, port] of [
      [targets.postgres, 5432],
      [targets.frontend, 2000],
    ])
      await world.server.exec(`timeout 5 bash -c '< /dev/tcp/${host}/${port}'`)
    const routes = Object.values(targets).map((host) => [`${host}/32`, 'via', world.server.address])
    try {
      for (const route of routes) await $`ip route add ${route}`
      assert.is(await attempt(targets.caddy, 443), 'open', 'the route works')
      assert.is(await attempt(targets.caddy, 80), 'open')
      const closed = [
        ...[22, 2000, 5432].map((port) => [targets.postgres, port] as const),
        ...[targets.frontend, targets.backend].map((host) => [host, 2000] as const),
        ...[2000, 2019, 8080].map((port) => [targets.caddy, port] as const),
      ]
      const answers = await Promise.all(closed.map(([host, port]) => attempt(host, port)))
      const open = closed.filter((_, i) => answers[i] === 'open').map((one) => one.join(':'))
      assert.equal(open, [], JSON.stringify(targets))
    } finally {
      for (const route of routes) await $try`ip route del ${route}`
    }
  })

  describeInside()

  function describeInside(): void {
    /** Connects from inside a container, with the tools that its image has. */
    const from = (service: Service, host: string, port: number) => {
      const node = `const s = require('net').connect(${port}, '${host}'); s.setTimeout(4000, () => process.exit(2)); s.on('connect', () => process.exit(0)).on('error', () => process.exit(1))`
      const argv = {
        web: `node -e "${node}"`,
        postgres: `timeout 4 bash -c '< /dev/tcp/${host}/${port}'`,
        // BusyBox in the official image, bash in the lab's stand-in.
        caddy: `sh -c 'if command -v nc > /dev/null; then timeout 4 nc -z ${host} ${port}; else timeout 4 bash -c "< /dev/tcp/${host}/${port}"; fi'`,
      }
      return world.server.exec(
        `docker exec ${ids[service]} ${argv[service]} > /dev/null 2>&1 && echo open || echo closed`,
      )
    }

    test('the app reaches the database and the outside', async () => {
      assert.is(await from('web', 'postgres', 5432), 'open')
      assert.is(await from('web', 'api.hetzner.cloud', 443), 'open')
    })

    test('the database has no way out', async () => {
      assert.is(await from('postgres', '127.0.0.1', 5432), 'open', 'the probe works')
      assert.is(await from('postgres', ADDRESS.hetzner, 443), 'closed')
      assert.is(await from('postgres', await address('caddy', 'everyskill_frontend'), 443), 'closed')
      assert.is(await from('postgres', await address('web', 'everyskill_frontend'), 2000), 'closed')
      assert.is(await from('postgres', 'api.hetzner.cloud', 443), 'closed')
    })

    test('Caddy reaches the app, and neither finds nor reaches the database', async () => {
      const live = await world.server.exec('cut -d " " -f 1 /opt/everyskill/live/colours')
      assert.is(await from('caddy', `web-${live}`, 2000), 'open', 'the probe works')
      assert.is(await from('caddy', 'postgres', 5432), 'closed')
      assert.is(await from('caddy', await address('postgres', 'everyskill_backend'), 5432), 'closed')
    })

    test("Caddy's admin interface answers in its own container alone", async () => {
      const caddy = await address('caddy', 'everyskill_frontend')
      assert.is(await from('caddy', '127.0.0.1', 2019), 'open', 'the probe works')
      assert.is(await from('web', caddy, 443), 'open', 'the probe works')
      assert.is(await from('web', caddy, 2019), 'closed')
      assert.is(await attempt(world.server.address, 2019), 'refused')
    })
  }
})
