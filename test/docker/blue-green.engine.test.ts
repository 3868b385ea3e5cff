/** The real Caddyfile, Compose file and drain.cjs around two small servers; only the certificate is Caddy's own. */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import { describe } from '../describe.ts'
import { buildImages } from '../lab/images.ts'
import { $, until } from '../lab/shell.ts'
import { ask, load } from './client.ts'
import { build, settings, World } from './world.ts'

const ADDRESS = '127.0.0.77'
const HOST = 'acme.everyskill.test'

const server = `
  require('node:http').createServer((request, response) => {
    if (request.url === '/headers') return response.end(JSON.stringify(request.headers))
    if (request.url === '/stream') {
      response.setHeader('content-type', 'text/plain')
      let left = 4
      const timer = setInterval(() => {
        response.write('x'.repeat(1000) + '\\n')
        if (--left === 0) { clearInterval(timer); response.end() }
      }, 500)
      return
    }
    let bytes = 0
    request.on('data', data => bytes += data.length)
    request.on('end', () => setTimeout(() => response.end(process.env.COLOUR + ' ' + bytes), 20 + Math.random() * 80))
  }).listen(2000, '0.0.0.0')`

describe('blue and green behind Caddy', { timeout: 180_000 }, ({ test, before, after }) => {
  let world: World
  before(
    async () => {
      await build('caddy')
      world = new World()
      world.settings({ ...settings, PUBLIC_IPV4: ADDRESS })
      world.write('env/caddy/hetzner_dns_api_token', 'unused', 1000)
      const caddyfile = readFileSync('docker/Caddyfile', 'utf8')
      world.write('caddy/Caddyfile', caddyfile.replace(/^\ttls \{[\s\S]*?^\t\}/m, '\ttls internal'))
      await buildWeb()
      ready('blue')
      const { ok, stderr } = await world.compose(['up', '--detach', '--wait', 'caddy', 'web-blue'])
      assert.ok(ok, stderr)
      await until('the site', 20, async () => ((await get('/').catch(() => undefined)) ? true : undefined))
    },
    { timeout: 1_200_000 },
  )
  after(() => world.remove())

  const ready = (colours: string) => world.write('live/colours', `${colours}\n`)
  const get = (path: string, headers: Record<string, string> = {}) => ask(ADDRESS, HOST, path, { headers })

  async function buildWeb(): Promise<void> {
    const base = (await buildImages()).buildArgs.NODE_IMAGE ?? 'node:22-alpine'
    world.write('image/server.js', server)
    world.write(
      'image/Dockerfile',
      `FROM ${base}\nWORKDIR /app\nCOPY server.js apps/web/\nRUN install -d apps/web/.next/cache\n`,
    )
    const tags = [settings.WEB_BLUE_IMAGE, settings.WEB_GREEN_IMAGE].flatMap((tag) => ['--tag', tag])
    await $({ timeout: '300s' })`docker build --quiet ${tags} ${world.folder}/image`
  }

  test('sets the headers of a public site and takes none that only Caddy may set', async () => {
    const spoofed = { 'x-real-ip': '6.6.6.6', 'x-forwarded-for': '6.6.6.6', 'x-forwarded-proto': 'http' }
    const { status, headers, body } = await get('/headers', spoofed)
    assert.is(status, 200)
    assert.match(String(headers['strict-transport-security']), 'max-age=31536000')
    assert.equal([headers['x-frame-options'], headers['x-content-type-options']], ['DENY', 'nosniff'])
    assert.equal([headers.server, headers.via], [undefined, undefined])
    assert.match(String(headers['alt-svc']), 'h3=')
    const seen = JSON.parse(body)
    assert.not.match(body, '6.6.6.6')
    assert.equal([seen.host, seen['x-forwarded-proto']], [HOST, 'https'])
    assert.is(seen['x-real-ip'], seen['x-forwarded-for'])
  })

  test('hides the readiness check, and refuses a body of more than 25 MB', async () => {
    for (const path of [
      '/__ready',
      '/__ready/',
      '/__ready?x',
      '/%5f%5fready',
      '//__ready',
      '/a/../__ready',
    ]) {
      const { status, body } = await get(path)
      assert.ok(status === 404 || !body.includes('ready'), `${path}: ${status} ${body}`)
    }
    const { status } = await ask(ADDRESS, HOST, '/', { method: 'POST', body: Buffer.alloc(26_000_000) })
    assert.is(status, 413)
  })

  test('does not hold back a streamed answer, compressed or not', async () => {
    for (const encoding of ['identity', 'gzip', 'zstd']) {
      const { headers, firstByteMs, ms } = await get('/stream', { 'accept-encoding': encoding })
      assert.is(headers['content-encoding'] ?? 'identity', encoding)
      assert.ok(ms > 1900 && firstByteMs < ms - 1000, `${encoding}: first ${firstByteMs} ms, last ${ms} ms`)
    }
  })

  test('a switch under load, there and back, loses no request', async () => {
    const { sent, errors, colours } = await load(ADDRESS, HOST, 100, async () => {
      for (const [old, fresh] of [
        ['blue', 'green'],
        ['green', 'blue'],
      ] as const) {
        const up = await world.compose(['up', '--detach', '--wait', '--no-deps', `web-${fresh}`])
        assert.ok(up.ok, up.stderr)
        ready('blue green')
        await sleep(1500)
        ready(fresh)
        await sleep(1500)
        const { body } = await get('/')
        assert.match(body, fresh)
        assert.ok((await world.compose(['stop', `web-${old}`])).ok)
        await sleep(1000)
      }
    })
    assert.equal(errors, {}, `of ${sent}`)
    assert.ok(sent > 1000 && (colours.blue ?? 0) > 100 && (colours.green ?? 0) > 100, JSON.stringify(colours))
  })

  test('neither a flag that is taken back nor a stop loses any', async () => {
    for (let tries = 1; tries <= 3; tries++) {
      let away = 0
      const { errors } = await load(ADDRESS, HOST, 100, async () => {
        ready('')
        await sleep(2000)
        ready('blue')
        await sleep(1000)
        const start = performance.now()
        assert.ok((await world.compose(['restart', 'web-blue'])).ok)
        assert.ok((await world.compose(['up', '--detach', '--wait', '--no-deps', 'web-blue'])).ok)
        away = (performance.now() - start) / 1000
      })
      // Caddy keeps requests for 10 s (lb_try_duration); on a machine so busy that a restart takes longer it has to give up.
      if (away < 10 || Object.keys(errors).length === 0) return assert.equal(errors, {}, `${away} s away`)
      console.log(`the restart took ${away.toFixed(1)} s, ${JSON.stringify(errors)}`)
    }
    assert.unreachable(
      'a restart took more than 10 s three times, and requests were lost: this machine is too busy',
    )
  })

  test('the same load notices a web container that is killed', async () => {
    const { errors } = await load(ADDRESS, HOST, 100, async () => {
      await sleep(1000)
      await world.compose(['kill', 'web-blue'])
      await world.compose(['up', '--detach', '--wait', '--no-deps', 'web-blue'])
    })
    assert.ok(Object.keys(errors).length > 0)
  })

  test("logs requests as JSON, without a login's code, cookies or lines about health checks", async () => {
    await get('/api/auth/callback/google?code=the-code&state=the-state&x=kept', {
      cookie: 'session=the-cookie',
    })
    const { stdout } = await world.compose(['logs', '--no-log-prefix', 'caddy'])
    assert.match(stdout, 'x=kept')
    assert.not.match(stdout, /the-code|the-state|the-cookie|health_checker\.active/)
    for (const line of stdout.trim().split('\n')) JSON.parse(line)
  })
})
