/** What the Caddyfile and the other files of docker/ must agree on. Whether Caddy likes it: caddy-validate.engine.test.ts. */
import { readFileSync } from 'node:fs'
import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import { noticed } from '../../ops/lib/colours.ts'
import { describe } from '../describe.ts'

const file = (name: string) => readFileSync(`docker/${name}`, 'utf8')
const caddyfile = file('Caddyfile').replaceAll(/^\s*#.*\n/gm, '')
const compose = parse(file('docker-compose.prod.yml'), { merge: true })

describe('Caddyfile', ({ test }) => {
  test('every {$NAME} is in the environment that Compose gives Caddy', () => {
    const names = [...caddyfile.matchAll(/\{\$(\w+)/g)].map((match) => match[1])
    const given = Object.keys(compose.services.caddy.environment)
    for (const name of names) assert.ok(given.includes(name ?? ''), name)
  })

  test('the token comes from a mounted folder, so that a renewed one arrives', () => {
    assert.match(caddyfile, 'dns hetzner {file./run/caddy/hetzner_dns_api_token}')
    const folders = compose.services.caddy.volumes.filter(
      ({ target }: { target: string }) => target === '/run/caddy',
    )
    assert.equal(folders.length, 1)
  })

  test('sends to both colours by their names and the port they listen on', () => {
    const upstreams = /reverse_proxy (.*) \{/.exec(caddyfile)?.[1]?.split(' ')
    const names = Object.keys(compose.services).filter((name) => name.startsWith('web-'))
    assert.equal(
      upstreams,
      names.map((name) => `${name}:${compose.services[name].environment.PORT}`),
    )
  })

  test('asks for readiness, keeps it from the outside, and trusts no client with X-Real-IP', () => {
    assert.match(caddyfile, /health_uri \/__ready$/m)
    assert.match(caddyfile, /@readiness path \/__ready \S+\n\s+respond @readiness 404/)
    assert.match(caddyfile, 'header_up X-Real-IP {remote_host}')
    assert.not.match(caddyfile, /trusted_proxies|lb_retry_match/)
  })

  test('gives up an idle connection before Node does, and a stopping colour before it closes', () => {
    const seconds = (name: string) => Number(new RegExp(`\\b${name} (\\d+)s`).exec(caddyfile)?.[1])
    assert.ok(seconds('keepalive') < 5)
    const drainMs = Number(/'DRAIN_MS', ([\d_]+)/.exec(file('drain.cjs'))?.[1]?.replaceAll('_', ''))
    const [, interval] = /health_interval (\d+)ms/.exec(caddyfile) ?? []
    assert.ok(
      noticed * 1000 + drainMs > Number(interval) + seconds('health_timeout') * 1000,
      'a check that times out',
    )
    const stop = Number.parseInt(compose.services.caddy.stop_grace_period, 10)
    assert.ok(seconds('grace_period') < stop)
  })

  test('the health site is on the loopback address that the health check asks', () => {
    assert.match(caddyfile, /http:\/\/127\.0\.0\.1:8080 \{\n\s+bind 127\.0\.0\.1\n\s+respond \/healthz 200/)
    assert.ok(compose.services.caddy.healthcheck.test.includes('http://127.0.0.1:8080/healthz'))
    assert.match(caddyfile, /admin localhost:2019/)
  })
})

describe('Dockerfile.caddy', ({ test }) => {
  const text = file('Dockerfile.caddy')
  test('names one exact version everywhere, 2.11.4 or newer, and version 2 of the module', () => {
    const versions = [...text.matchAll(/(?:caddy:|RELEASE=)([\d.]+)/g)].map((match) => match[1])
    assert.is(versions.length, 4)
    assert.is(new Set(versions).size, 1)
    const [major = 0, minor = 0, patch = 0] = (versions[0] ?? '').split('.').map(Number)
    assert.ok(major === 2 && (minor > 11 || (minor === 11 && patch >= 4)), versions[0])
    assert.match(text, /^ARG HETZNER_VERSION=v2\.\d+\.\d+$/m)
    assert.match(text, 'github.com/caddy-dns/hetzner/v2@')
  })
})
