import { chmodSync, copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { pathIn, readEnv, secretsIn } from '../../ops/lib/env.ts'
import { Fail } from '../../ops/lib/fail.ts'
import { type Name, names } from '../../ops/lib/names.ts'
import { isSecret } from '../../ops/lib/places.ts'
import { redact } from '../../ops/lib/redact.ts'
import { describe } from '../describe.ts'

const fixtures = join(import.meta.dirname, '../fixtures/env')

describe('readEnv', ({ test, before, after }) => {
  let dir = ''
  let made = 0
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'env-test-'))
  })
  after(() => rmSync(dir, { recursive: true, force: true }))

  const fileOf = (text: string, mode = 0o600) => {
    const file = join(dir, `${++made}.env`)
    writeFileSync(file, text, { mode })
    return file
  }
  const fixture = (name: string) => {
    const file = join(dir, name)
    copyFileSync(join(fixtures, name), file)
    chmodSync(file, 0o600)
    return file
  }
  const refusal = (file: string, wanted: readonly Name[] = []): string => {
    try {
      readEnv(file, wanted)
    } catch (error) {
      assert.instance(error, Fail)
      assert.is((error as Fail).exitCode, 2)
      return (error as Fail).message
    }
    throw new Error('it was taken')
  }

  test('reads every name of a good file', () => {
    const env = readEnv(fixture('good.env'), names)
    assert.is(env.SERVER_HOST, '203.0.113.10')
    assert.is(env.ADMIN_EMAILS, 'ann@everyskill.test, bob@everyskill.test')
    assert.is(env.DATABASE_URL, undefined)
  })

  test('tells every problem at once: the name, what is wrong, the mend; and no value', () => {
    const file = fixture('many-problems.env')
    const wanted = [
      'SERVER_HOST',
      'SERVER_SSH_PORT',
      'DB_PASSWORD',
      'DB_APP_PASSWORD',
      'AUTH_GOOGLE_ID',
    ] as const
    const message = refusal(file, wanted)
    assert.equal(message.split('\n'), [
      `${file}:`,
      '  DB_APP_PASSWORD is cut off: # starts a comment; put the value in single quotes',
      '  line 6 is not NAME=value; comment it out with # or mend it',
      '  NODE_ENV stands on line 8 and again on line 9; keep one of them',
      '  SERVER_PORT is not a name this repository knows; .env.example lists them all',
      '  DATABASE_URL must not be set: deploy derives it from DB_APP_PASSWORD; delete the line',
      '  SERVER_HOST is missing: a host name or address, or `local` on the server itself',
      '  SERVER_SSH_PORT is malformed: expected a TCP port, 1 to 65535',
      '  DB_PASSWORD is malformed: expected at least 16 letters and digits: openssl rand -hex 32',
      '  DB_APP_PASSWORD is malformed: expected at least 16 letters and digits: openssl rand -hex 32',
    ])
    assert.not.match(message, /5ecret|s3cret|70000/)
  })

  test('says of each missing name what belongs there', () => {
    const message = refusal(fileOf(''), names)
    for (const line of message.split('\n').slice(1)) assert.match(line, /^ {2}[A-Z0-9_]+ is missing: \S/)
    assert.match(message, /AUTH_SECRET is missing: at least 16 characters: openssl rand -base64 32/)
  })

  test('demands only what the caller needs', () => {
    const file = fileOf('SERVER_HOST=local\nDB_PASSWORD=bad\n')
    assert.equal(readEnv(file, ['SERVER_HOST']), { SERVER_HOST: 'local' })
  })

  test('takes an empty value as a missing one: the default counts', () => {
    const file = fileOf('SERVER_HOST=\nSERVER_USER=\nPUBLIC_IPV6=\n')
    assert.match(refusal(file, ['SERVER_HOST']), /SERVER_HOST is missing/)
    const env = readEnv(file, ['SERVER_USER', 'SERVER_SSH_PORT', 'PUBLIC_IPV6'])
    assert.equal(env, { SERVER_USER: 'root', SERVER_SSH_PORT: '22' })
  })

  test('takes no notice of the environment', () => {
    process.env.SERVER_USER = 'stray'
    assert.is(readEnv(fileOf(''), ['SERVER_USER']).SERVER_USER, 'root')
    delete process.env.SERVER_USER
  })

  test('keeps what quotes protect and cuts off nothing in silence', () => {
    const quoted = readEnv(fileOf(`ADMIN_EMAILS='a@b.c, d@e.f'\nACME_RESOLVERS="10.0.0.1 10.0.0.2"\n`), [
      'ADMIN_EMAILS',
      'ACME_RESOLVERS',
    ])
    assert.equal(quoted, { ADMIN_EMAILS: 'a@b.c, d@e.f', ACME_RESOLVERS: '10.0.0.1 10.0.0.2' })
    for (const value of [
      'abcdefgh12345678#9',
      `'abcdefgh12345678#9'`,
      '"abcdefgh12345678$9"',
      `'abcdefgh12345678`,
      'abcdefgh1234567\\8',
    ]) {
      assert.match(refusal(fileOf(`DB_PASSWORD=${value}\n`), ['DB_PASSWORD']), /DB_PASSWORD is/, value)
    }
  })

  test('takes a comment behind a blank, Windows line ends and a byte order mark', () => {
    const file = fileOf(
      '\ufeffSERVER_HOST=local   # this machine\r\n\r\n  # a comment\r\nSERVER_USER=root\r\n',
    )
    assert.equal(readEnv(file, ['SERVER_HOST', 'SERVER_USER']), { SERVER_HOST: 'local', SERVER_USER: 'root' })
  })

  for (const line of [
    'BAD LINE',
    'NAME value',
    'SERVER_HOST = local',
    'SERVER_HOST: local',
    'export SERVER_HOST=local',
    '=x',
  ]) {
    test(`refuses the line ${line}`, () => {
      assert.match(refusal(fileOf(`# first\n${line}\n`)), /line 2 is not NAME=value/)
    })
  }

  for (const mode of [0o640, 0o604, 0o644, 0o660, 0o777]) {
    test(`refuses mode ${mode.toString(8)}, with the command that mends it`, () => {
      const file = fileOf('SERVER_HOST=local\n')
      chmodSync(file, mode)
      assert.match(refusal(file), new RegExp(`Run: chmod 600 ${file}$`))
    })
  }

  for (const mode of [0o600, 0o400]) {
    test(`takes mode ${mode.toString(8)}`, () => {
      assert.equal(readEnv(fileOf('SERVER_HOST=local\n', mode), ['SERVER_HOST']), { SERVER_HOST: 'local' })
    })
  }

  test('says how to make a file that is not there, and names one that is a folder', () => {
    assert.match(refusal(join(dir, 'none')), /none does not exist\. Copy \.env\.example/)
    assert.match(refusal(dir), /cannot be read: EISDIR/)
  })

  test('registers every secret of the file for redaction, the malformed ones and those not asked for too', () => {
    const env = readEnv(fixture('good.env'), names)
    const text = JSON.stringify(env)
    const hidden = redact(text)
    for (const name of names.filter(isSecret)) {
      const value = env[name]
      if (!value) continue
      assert.ok(text.includes(value) && !hidden.includes(value), name)
      assert.ok(hidden.includes(`[${name}]`), name)
    }
    refusal(fileOf('DB_PASSWORD=mal#formed-1\nAUTH_SECRET=malformed"quote-2\n'), ['SERVER_HOST'])
    assert.is(redact('malformed"quote-2'), '[AUTH_SECRET]')
  })

  test('secretsIn gives the secrets that are set, and nothing else', () => {
    const secrets = secretsIn(fixture('good.env'))
    assert.equal(
      Object.keys(secrets),
      names.filter((name) => isSecret(name) && name !== 'DATABASE_URL'),
    )
    assert.is(secrets.DB_PASSWORD, 'fixture-db-password-2222')
  })

  test('pathIn resolves from the folder of the file, and from home', () => {
    assert.is(pathIn('/etc/ops/.env', 'keys/a'), '/etc/ops/keys/a')
    assert.is(pathIn('/etc/ops/.env', '/abs'), '/abs')
    assert.is(pathIn('/etc/ops/.env', '~/a'), join(homedir(), 'a'))
  })
})
