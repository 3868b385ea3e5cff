import * as assert from 'uvu/assert'
import { composeEnv } from '../../ops/lib/compose-env.ts'
import { secretFiles } from '../../ops/lib/files.ts'
import { names } from '../../ops/lib/names.ts'
import { isSecret, places } from '../../ops/lib/places.ts'
import { fileNames } from '../../ops/lib/server-env.ts'
import { databaseUrl, webEnv } from '../../ops/lib/web-env.ts'
import { describe } from '../describe.ts'

const env = Object.fromEntries(fileNames.map((name) => [name, `value-of-${name}`])) as never as Parameters<
  typeof secretFiles
>[0]
const images = { caddy: 'c', postgres: 'p', migrate: 'm', blue: 'b', green: 'g' }

describe('files', ({ test }) => {
  test('no name whose place is only the operator or the build is in a file', () => {
    for (const name of fileNames) {
      const place = places[name].filter((p) => p !== 'operator' && p !== 'build')
      assert.ok(place.length > 0, `${name} stays with the operator`)
    }
  })

  test('every name that belongs in the web, caddy or postgres is in some file', () => {
    const belongs = names.filter((name) =>
      places[name].some((place) => ['web', 'caddy', 'postgres'].includes(place)),
    )
    const derived = ['DATABASE_URL']
    assert.equal(
      belongs.filter((name) => !derived.includes(name) && !(fileNames as readonly string[]).includes(name)),
      [],
    )
  })

  test('secrets are readable by one uid, and by nobody else', () => {
    for (const file of secretFiles(env)) assert.is(file.mode, '0400', file.path)
    const owners = Object.fromEntries(
      secretFiles(env).map((file) => [file.path.replace(/.*\/env\//, ''), file.owner]),
    )
    assert.equal(owners, {
      'web.env': 0,
      'caddy/hetzner_dns_api_token': 1000,
      'postgres/db_password': 999,
      'postgres/db_app_password': 999,
      'pgbackrest/cipher.conf': 999,
      'migrate/database_url': 1001,
    })
  })

  test('Auth.js gets numbered secrets only, or it would ignore them', () => {
    const text = webEnv(env)
    assert.match(text, /^AUTH_SECRET_1=value-of-AUTH_SECRET$/m)
    assert.not.match(text, /^AUTH_SECRET=/m)
  })

  test('each consumer gets its own secrets and no other', () => {
    const text = webEnv(env)
    for (const name of ['HETZNER_DNS_API_TOKEN', 'DB_PASSWORD'] as const)
      assert.not.ok(text.includes(`value-of-${name}\n`), name)
    const caddy = secretFiles(env).find((file) => file.path.includes('/caddy/'))
    assert.is(caddy?.content, 'value-of-HETZNER_DNS_API_TOKEN')
  })

  test("compose's own variables hold no secret", () => {
    const { content } = composeEnv(env, images)
    for (const name of fileNames)
      if (isSecret(name)) assert.not.ok(content.includes(`value-of-${name}`), name)
    assert.match(content, /^ACME_RESOLVERS=resolvers value-of-ACME_RESOLVERS$/m)
  })

  test('optional settings that are not given are empty, not "undefined"', () => {
    const { ACME_RESOLVERS: _a, TRUSTED_ROOT: _b, PUBLIC_IPV6: _c, ...rest } = env as Record<string, string>
    const { content } = composeEnv(rest as never, images)
    assert.match(content, /^ACME_RESOLVERS=$/m)
    assert.match(content, /^TRUSTED_ROOT=$/m)
    assert.not.match(content, /undefined/)
  })

  test('a password that a URL cannot hold is encoded', () => {
    assert.is(
      databaseUrl({ DB_APP_PASSWORD: 'a/b+c=d' }),
      'postgresql://everyskill_a:a%2Fb%2Bc%3Dd@postgres:5432/everyskill',
    )
  })
})
