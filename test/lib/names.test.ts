import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'dotenv'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { hintOf } from '../../ops/lib/env.ts'
import { type Name, names, schema } from '../../ops/lib/names.ts'
import { isSecret, namesAt, places } from '../../ops/lib/places.ts'
import { describe } from '../describe.ts'

const root = join(import.meta.dirname, '../..')
const example = readFileSync(join(root, '.env.example'), 'utf8')
const good = parse(readFileSync(join(root, 'test/fixtures/env/good.env'), 'utf8'))
const text = example.split('\n')

/** Values of the example that are no defaults: what the seed has there, and everybody changes or keeps. */
const presets = { NEXT_PUBLIC_ROOT_DOMAIN: 'everyskill.ai', NEXT_PUBLIC_APP_URL: 'https://everyskill.ai' }

/** The names of the template and the Compose file that this repository was asked for with. */
const seed = `DB_PASSWORD DATABASE_URL NODE_ENV NEXTAUTH_URL AUTH_SECRET AUTH_GOOGLE_ID AUTH_GOOGLE_SECRET
  NEXT_PUBLIC_ROOT_DOMAIN NEXT_PUBLIC_APP_URL HETZNER_DNS_API_TOKEN R2_ENDPOINT R2_ACCESS_KEY_ID
  R2_SECRET_ACCESS_KEY R2_BUCKET_NAME ANTHROPIC_API_KEY ADMIN_EMAILS BACKUP_GPG_PASSPHRASE STORAGEBOX_USER
  STORAGEBOX_HOST`.split(/\s+/)

interface Entry {
  name: string
  value: string
  /** The comment right above it, without its last line. */
  comment: string[]
  need: string
  place: string
  rotate: string
}

const entries: Entry[] = text.flatMap((line, i) => {
  const [, name, value] = /^([A-Z][A-Z0-9_]*)=(.*)$/.exec(line) ?? []
  if (name === undefined || value === undefined) return []
  const above = text.slice(text.lastIndexOf('', i) + 1, i)
  const [need = '', place = '', rotate = ''] = (above.at(-1) ?? '').replace(/^# /, '').split(' | ')
  return [{ name, value, comment: above.slice(0, -1), need, place, rotate }]
})

function defaultOf(name: Name): string | undefined {
  return v.getDefault(schema.entries[name] as v.GenericSchema) as string | undefined
}

function needOf(name: Name): string {
  const entry: v.GenericSchema = schema.entries[name]
  if (!('wrapped' in entry)) return 'required'
  return (entry.wrapped as v.GenericSchema).type === 'never' ? 'derived' : 'optional'
}

function accepts(name: Name, value: string): boolean {
  return v.safeParse(schema.entries[name], value).success
}

describe('.env.example', ({ test }) => {
  test('has the names of the schema, each once, and no other', () => {
    assert.equal(entries.map((entry) => entry.name).sort(), [...names].sort())
  })

  test('knows every name that this repository was asked for with', () => {
    const known = entries.map((entry) => entry.name)
    assert.equal(
      seed.filter((name) => !known.includes(name)),
      [],
    )
  })

  test('has nothing but comments, blank lines and NAME=value without a comment behind it', () => {
    assert.equal(
      text.filter((line) => !/^(#.*|[A-Z][A-Z0-9_]*=[^\s#]*)?$/.test(line)),
      [],
    )
  })

  for (const { name, value, comment, need, place, rotate } of entries) {
    const known = name as Name
    test(`${name}: says what the schema says`, () => {
      assert.is(
        value,
        { ...presets, [name]: defaultOf(known) ?? presets[name as keyof typeof presets] }[name] ?? '',
      )
      assert.is(need, needOf(known))
      assert.is(place, places[known].join(', '))
      assert.match(rotate, /^rotate: (no|yes|yes, with [A-Z0-9_]+)$/)
      assert.not(isSecret(name) && rotate === 'rotate: no', 'a secret that is never renewed')
    })

    test(`${name}: tells a person what it is`, () => {
      assert.ok(comment.length > 0 && comment.every((line) => /^# \S/.test(line)))
      assert.ok(comment.every((line) => line.length <= 125))
    })
  }

  test('names other names only when they exist', () => {
    const mentioned = example.match(/\b[A-Z][A-Z0-9]*(_[A-Z0-9]+)+\b/g) ?? []
    assert.equal(
      mentioned.filter((name) => !(names as string[]).includes(name)),
      [],
    )
  })
})

describe('names', ({ test }) => {
  test('every name has a hint that says what a good value is', () => {
    for (const name of names) assert.not.match(hintOf(name), /^see /, name)
  })

  test('the good fixture has every name, and all of its values pass', () => {
    assert.equal(Object.keys(good), names)
    for (const [name, value] of Object.entries(good)) if (value) assert.ok(accepts(name as Name, value), name)
  })

  test('no secret may be so short that it cannot be hidden, or hold what a file format would change', () => {
    for (const name of names.filter(isSecret)) {
      for (const bad of [
        '1234567',
        `1234567890123456'`,
        '1234567890123456 7',
        '12345678$HOME90123',
        '1234567890123456#',
      ]) {
        assert.not(accepts(name, bad), `${name} takes ${bad}`)
      }
    }
  })

  test('no value may hold a newline, a quote, a dollar, a backslash or a leading dash where ssh would see an option', () => {
    for (const name of names) {
      for (const bad of ['\n', "'", '"', '$(id)', '\\', '`id`']) {
        assert.not(accepts(name, `${good[name]}${bad}`), `${name} takes ${JSON.stringify(bad)}`)
      }
    }
    for (const name of ['SERVER_HOST', 'SERVER_USER', 'STORAGEBOX_HOST', 'STORAGEBOX_USER'] as const) {
      assert.not(accepts(name, '-oProxyCommand=id'), name)
    }
  })

  const cases: Partial<Record<Name, { good: string[]; bad: string[] }>> = {
    SERVER_HOST: { good: ['local', 'a.b-c.de', '2a01:4f8::1'], bad: ['a b', 'a;b', 'user@host', '-a', 'a-'] },
    SERVER_SSH_PORT: { good: ['1', '22', '65535'], bad: ['0', '022', '65536', '99999', '-1', '22a'] },
    PUBLIC_IPV4: {
      good: ['178.156.181.178'],
      bad: ['0.0.0.0', '1.2.3', '256.1.1.1', '01.2.3.4', '1.2.3.4.5', '::1'],
    },
    PUBLIC_IPV6: {
      good: ['2a01:4f8:c17:1::1'],
      bad: ['::', '1.2.3.4', '2a01:::1', 'fe80::1%eth0', '[2a01::1]'],
    },
    NEXT_PUBLIC_ROOT_DOMAIN: {
      good: ['everyskill.ai', 'a.b.co'],
      bad: ['everyskill', '*.everyskill.ai', 'Every.ai', 'a.ai/'],
    },
    NEXT_PUBLIC_APP_URL: { good: ['https://everyskill.ai'], bad: ['http://everyskill.ai', 'everyskill.ai'] },
    NEXT_SERVER_ACTIONS_ENCRYPTION_KEY: {
      good: [16, 24, 32].map((bytes) => Buffer.alloc(bytes, 7).toString('base64')),
      bad: [15, 17, 33].map((bytes) => Buffer.alloc(bytes, 7).toString('base64')),
    },
    NODE_IMAGE: {
      good: [
        'node:22.20.0-slim',
        'localhost:5000/a/b:V1',
        'everyskill-lab/node',
        `node:22@sha256:${'a'.repeat(64)}`,
      ],
      bad: ['node', 'node:latest', 'localhost:5000/a/b', '-node:1', 'node:', 'node@sha256:abc'],
    },
    ACME_PROPAGATION_DELAY: { good: ['60s'], bad: ['60', '1m', 's'] },
    ADMIN_EMAILS: {
      good: ['a@b.c', 'a@b.c,d@e.f', 'a@b.c, d@e.f'],
      bad: ['a', 'a@b.c,', 'a@b.c d@e.f', 'a@b.c,,d@e.f'],
    },
    ACME_EMAIL: { good: ['a@b.c'], bad: ['a@b.c,d@e.f', 'a'] },
    BACKUP_RETENTION_DAYS: { good: ['90'], bad: ['0', '-1', '090', '1.5', 'ninety'] },
    STORAGEBOX_DIR: { good: ['backups', 'a/b.c'], bad: ['/backups', '../x', '-x', 'a b'] },
    EVERYSKILL_LAB: { good: ['1'], bad: ['0', 'true'] },
  }
  for (const [name, { good, bad }] of Object.entries(cases)) {
    test(`${name} takes what is right and refuses what is not`, () => {
      for (const value of good) assert.ok(accepts(name as Name, value), `refuses ${value}`)
      for (const value of bad) assert.not(accepts(name as Name, value), `takes ${value}`)
    })
  }

  test('what can reset the server or delete off-site copies never leaves the operator', () => {
    for (const name of [
      'HCLOUD_TOKEN',
      'STORAGEBOX_ADMIN_USER',
      'STORAGEBOX_ADMIN_SSH_KEY',
      'BACKUP_GPG_HOMEDIR',
    ] as const) {
      assert.equal(places[name], ['operator'], name)
    }
    assert.not.ok(namesAt('server').some((name) => namesAt('operator').includes(name)))
  })
})
