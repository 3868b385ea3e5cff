/** What docker-compose.prod.yml and its overlay promise, read from the files. The engine's view: compose-config.engine.test.ts. */
import { readFileSync } from 'node:fs'
import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import { describe } from '../describe.ts'

type Volume = { type: string; source: string; target: string; read_only?: boolean }
type Port = { target: number; published: string; protocol: string; host_ip: string }
type Service = {
  image: string
  user?: string
  command?: string[]
  environment?: Record<string, string>
  env_file?: { path: string; format: string }[]
  networks: string[]
  ports?: Port[]
  volumes?: Volume[]
  secrets?: string[]
  tmpfs?: string[]
  healthcheck?: { test: string[] }
  profiles?: string[]
  cap_add?: string[]
  cap_drop?: string[]
  security_opt?: string[]
  logging?: { driver: string; options: Record<string, string> }
  restart?: string
  stop_grace_period?: string
  [key: string]: unknown
}
type Compose = {
  services: Record<string, Service>
  networks: Record<string, { internal?: boolean; enable_ipv6?: boolean }>
  volumes: Record<string, unknown>
  secrets: Record<string, { file?: string }>
}

const file = (name: string) => readFileSync(`docker/${name}`, 'utf8')
const read = (name: string) => parse(file(name), { merge: true }) as Compose
const compose = read('docker-compose.prod.yml')
const overlay = read('docker-compose.ipv6.yml')
const services = Object.entries(compose.services)
const service = (name: string): Service => {
  const found = compose.services[name]
  if (!found) throw new Error(`no service ${name}`)
  return found
}

/** The variables of env/compose.env, which deploy writes. */
const variables = [
  'CADDY_IMAGE',
  'POSTGRES_IMAGE',
  'WEB_BLUE_IMAGE',
  'WEB_GREEN_IMAGE',
  'MIGRATE_IMAGE',
  'PUBLIC_IPV4',
  'PUBLIC_IPV6',
  'ROOT_DOMAIN',
  'ACME_EMAIL',
  'ACME_DIRECTORY',
  'ACME_PROPAGATION_DELAY',
  'ACME_RESOLVERS',
  'TRUSTED_ROOT',
]
const used = (text: string) => [...text.matchAll(/\$\{(\w+)/g)].map((match) => match[1])

describe('docker-compose.prod.yml', ({ test }) => {
  test('has the services of the design and no other', () => {
    assert.equal(Object.keys(compose.services).sort(), [
      'caddy',
      'migrate',
      'postgres',
      'web-blue',
      'web-green',
    ])
  })

  test('only Caddy publishes ports: 80 and 443, each on the public address', () => {
    assert.equal(
      services.filter(([, { ports }]) => ports).map(([name]) => name),
      ['caddy'],
    )
    const published = (ports: Port[] = []) =>
      ports.map((p) => `${p.host_ip} ${p.published}:${p.target}/${p.protocol}`)
    const all = (address: string) => ['80:80/tcp', '443:443/tcp', '443:443/udp'].map((p) => `${address} ${p}`)
    const [v4, v6] = ['${PUBLIC_IPV4:?}', '${PUBLIC_IPV6:?}']
    assert.equal(published(service('caddy').ports), all(v4))
    assert.equal(published(overlay.services.caddy?.ports), all(v6))
  })

  test('Postgres is on the internal network alone, Caddy is not on it, the web is on both', () => {
    assert.equal(service('postgres').networks, ['backend'])
    assert.equal(service('caddy').networks, ['frontend'])
    assert.equal(service('migrate').networks, ['backend'])
    for (const colour of ['web-blue', 'web-green']) {
      assert.equal(service(colour).networks, ['backend', 'frontend'])
    }
    assert.equal(compose.networks, { backend: { internal: true }, frontend: {} })
    assert.equal(Object.keys(overlay.networks), ['frontend'])
  })

  test('nothing stands in the way of a second copy or another machine', () => {
    for (const [name, each] of services) {
      for (const key of [
        'container_name',
        'depends_on',
        'links',
        'network_mode',
        'privileged',
        'pid',
        'build',
      ]) {
        assert.not.ok(key in each, `${name}.${key}`)
      }
    }
  })

  test('every service is hardened and bounded', () => {
    const users: Record<string, string> = { caddy: '1000:1000', postgres: '999:999' }
    for (const [name, each] of services) {
      const { user, read_only, cap_drop, security_opt, init, pull_policy, logging, restart } = each
      assert.is(user, users[name] ?? '1001:1001', name)
      assert.equal([read_only, cap_drop, security_opt], [true, ['ALL'], ['no-new-privileges:true']], name)
      assert.equal([init, pull_policy], [name === 'postgres', 'never'], name)
      assert.equal(logging, { driver: 'local', options: { 'max-size': '10m', 'max-file': '5' } }, name)
      assert.is(restart, name === 'migrate' ? 'no' : 'unless-stopped', name)
      assert.equal(each.cap_add ?? [], name === 'caddy' ? ['NET_BIND_SERVICE'] : [], name)
      for (const limit of ['mem_limit', 'cpus', 'pids_limit']) assert.ok(each[limit], `${name}.${limit}`)
    }
  })

  test('every service that stays has a health check on 127.0.0.1, and time to stop', () => {
    for (const [name, { healthcheck, stop_grace_period, profiles }] of services) {
      if (profiles) continue
      assert.match(String(healthcheck?.test), '127.0.0.1', name)
      assert.not.match(String(healthcheck?.test), 'localhost', name)
      assert.ok(Number.parseInt(stop_grace_period ?? '', 10) >= 40, name)
    }
  })

  test('the web gets more time to stop than drain.cjs takes', () => {
    const limit = /'STOP_LIMIT_MS', ([\d_]+)/.exec(file('drain.cjs'))?.[1]
    const grace = Number.parseInt(service('web-blue').stop_grace_period ?? '', 10) * 1000
    assert.ok(Number(limit?.replaceAll('_', '')) < grace, `${limit} < ${grace}`)
  })

  test('the two colours differ in name and image only, and share nothing but what is read-only', () => {
    const same = (name: string) => {
      const { image, environment, ...rest } = service(name)
      return { ...rest, environment: { ...environment, COLOUR: '' } }
    }
    assert.equal(same('web-blue'), same('web-green'))
    assert.is(service('web-blue').environment?.COLOUR, 'blue')
    assert.is(service('web-green').environment?.COLOUR, 'green')
    for (const volume of service('web-blue').volumes ?? []) {
      assert.equal([volume.type, volume.read_only], ['bind', true], volume.target)
    }
  })

  test('host paths are those of the server layout, read-only but for the repository, and never made by Docker', () => {
    const binds = services.flatMap(([, { volumes = [] }]) => volumes.filter(({ type }) => type === 'bind'))
    assert.equal([...new Set(binds.map(({ source, target }) => `${source} ${target}`))].sort(), [
      '../caddy /etc/caddy',
      '../env/caddy /run/caddy',
      '../env/pgbackrest /etc/pgbackrest/conf.d',
      '../live /run/live',
      './drain.cjs /ops/drain.cjs',
      '/var/backups/everyskill/repository /var/lib/pgbackrest',
    ])
    for (const bind of binds) {
      const written = bind.target === '/var/lib/pgbackrest' ? undefined : true
      assert.equal(
        [bind.read_only, (bind as { bind?: unknown }).bind],
        [written, { create_host_path: false }],
        bind.target,
      )
    }
  })

  test('secrets are files, and in no environment', () => {
    for (const [name, secret] of Object.entries(compose.secrets)) {
      assert.equal(Object.keys(secret), ['file'], name)
      assert.match(secret.file ?? '', /^\.\.\/env\/(caddy|postgres|migrate)\/\w+$/, name)
    }
    const mounted = services.flatMap(([, { secrets = [] }]) => secrets).sort()
    assert.equal(mounted, Object.keys(compose.secrets).sort(), 'each has one reader')
    for (const [name, { environment = {} }] of services) {
      for (const [key, value] of Object.entries(environment)) {
        if (value === 'placeholder') continue
        assert.not.match(key, /(PASSWORD|TOKEN|SECRET|KEY|DATABASE_URL)$/, `${name}: ${key}`)
      }
    }
  })

  test('asks for the documented variables and no other', () => {
    const text = file('docker-compose.prod.yml') + file('docker-compose.ipv6.yml')
    assert.equal([...new Set(used(text))].sort(), [...variables].sort())
    for (const name of variables)
      assert.match(file('docker-compose.prod.yml'), new RegExp(`^#.*\\b${name}\\b`, 'm'))
  })

  test('Postgres is made with checksums and scram, and never under a trusted connection', () => {
    const { environment = {} } = service('postgres')
    assert.is(
      environment.POSTGRES_INITDB_ARGS,
      '--data-checksums --auth-host=scram-sha-256 --auth-local=peer',
    )
    assert.not.ok('POSTGRES_HOST_AUTH_METHOD' in environment)
  })
})
