import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { authorizedLine, checkPassphrase, custodianIn, custodiansOf } from '../../ops/lib/custodian.ts'
import { Fail } from '../../ops/lib/fail.ts'
import { describe, rejects } from '../describe.ts'
import { folders } from '../folders.ts'

/** A public key of ssh's form; whether somebody has its private half does not matter here. */
function publicKey(type: string, ...fields: Buffer[]): string {
  const packed = [Buffer.from(type), ...fields].map((field) => {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(field.length)
    return Buffer.concat([length, field])
  })
  return `${type} ${Buffer.concat(packed).toString('base64')}`
}
const ed25519 = (byte: number) => publicKey('ssh-ed25519', Buffer.alloc(32, byte))

describe('custodians', ({ test, before, after }) => {
  const folder = folders({ before, after })

  /** What is said about files with these contents, called a.pub, b.pub and so on; undefined: they are good. */
  async function problem(...contents: string[]): Promise<string | undefined> {
    const dir = folder()
    const names = contents.map((content, i) => {
      const name = `${'abcdef'[i]}.pub`
      writeFileSync(join(dir, name), content)
      return name
    })
    try {
      custodiansOf(join(dir, '.env'), names.join(','))
      return undefined
    } catch (error) {
      assert.ok(error instanceof Fail && error.exitCode === 2, String(error))
      return error.message
    }
  }
  const good = `${ed25519(1)} alice@desk\n`

  test('are read with the fingerprint that ssh-keygen prints', () => {
    const dir = folder()
    for (const [name, type] of [
      ['alice', 'ed25519'],
      ['bob', 'ecdsa'],
    ] as const)
      execFileSync('ssh-keygen', [
        '-q',
        '-t',
        type,
        '-N',
        '',
        '-C',
        'a comment of two words',
        '-f',
        join(dir, name),
      ])
    const found = custodiansOf(join(dir, '.env'), 'alice.pub,bob.pub')
    assert.equal(
      found.map((one) => one.name),
      ['alice', 'bob'],
    )
    for (const { name, key, fingerprint } of found) {
      const said = execFileSync('ssh-keygen', ['-lf', join(dir, `${name}.pub`)], { encoding: 'utf8' })
      assert.is(said.split(' ')[1], fingerprint)
      assert.is(readFileSync(join(dir, `${name}.pub`), 'utf8'), `${key} a comment of two words\n`)
    }
  })

  test('are two at least', async () => {
    assert.match((await problem(good)) ?? '', /two custodians at least/)
    assert.match((await problem()) ?? '', /two custodians at least/)
    assert.is(await problem(good, ed25519(2)), undefined)
  })

  test('each have a key and a name of their own', async () => {
    const same = (await problem(good, `${ed25519(1)} another comment`)) ?? ''
    assert.match(same, /a and b have the same key/)
    const dir = folder()
    for (const sub of ['x', 'y']) {
      execFileSync('mkdir', [join(dir, sub)])
      writeFileSync(join(dir, sub, 'a.pub'), ed25519(sub.charCodeAt(0)))
    }
    await rejects(() => custodiansOf(join(dir, '.env'), 'x/a.pub,y/a.pub'), /two files are called a\.pub/)
  })

  const rsa = (bits: number) => publicKey('ssh-rsa', Buffer.from([1, 0, 1]), Buffer.alloc(bits / 8, 0xff))
  const wrong: [what: string, content: string, says: RegExp][] = [
    ['a private key', '-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbg==\n', /b\.pub is a private key/],
    ['ssh-dss', publicKey('ssh-dss', Buffer.alloc(20)), /b\.pub is an ssh-dss key/],
    ['options', `command="/bin/sh" ${ed25519(2)}`, /b\.pub does not begin with the type of a public key/],
    ['two lines', `${ed25519(2)}\n${ed25519(3)}\n`, /b\.pub has more than one line/],
    ['a line that hides after CR', `${ed25519(2)}\r${ed25519(3)}`, /b\.pub has more than one line/],
    ['an empty file', '', /b\.pub does not begin with/],
    ['a key that was cut off', ed25519(2).slice(0, -8), /b\.pub is not a whole public key/],
    [
      'a key under another type',
      ed25519(2).replace('ssh-ed25519', 'ssh-rsa'),
      /b\.pub is not a whole public key/,
    ],
    ['short RSA', rsa(1024), /b\.pub is RSA of fewer than 2048 bits/],
  ]
  for (const [what, content, says] of wrong) {
    test(`${what} is no custodian's key`, async () => {
      assert.match((await problem(good, content)) ?? 'taken', says)
    })
  }

  test('every problem is in one message', async () => {
    const said = (await problem('', good, good)) ?? ''
    assert.match(said, /a\.pub does not begin.*\n.*b and c have the same key/)
  })

  test('a file that is not there, and a name that is none', async () => {
    await rejects(() => custodianIn('.env', 'no-such.pub'), /no-such\.pub does not exist/)
    const dir = folder()
    writeFileSync(join(dir, 'a b.pub'), good)
    await rejects(() => custodianIn(join(dir, '.env'), 'a b.pub'), /gives the name "a b"/)
    assert.is(custodianIn(join(dir, '.env'), 'a b.pub', 'alice').name, 'alice')
  })

  test('reach nothing but cryptroot-unlock, with a pty', () => {
    const line = authorizedLine({ name: 'alice', key: ed25519(1), fingerprint: '' })
    assert.is(
      line,
      `no-port-forwarding,no-agent-forwarding,no-X11-forwarding,command="/bin/cryptroot-unlock" ${ed25519(1)} alice`,
    )
  })
})

describe('a passphrase', ({ test }) => {
  const long = 'correct horse battery staple'
  const rules: [what: string, passphrase: string, says: RegExp][] = [
    ['empty', '', /is empty/],
    ['short', 'nineteen characters', /is shorter than 20 characters/],
    ['of several lines', `${long}\n${long}`, /has more than one line/],
    ['with the newline of a file', `${long}\n`, /has more than one line/],
    ['non-ASCII', `${long} schön`, /other characters than printable ASCII/],
    ['with a key that is no character', `${long}\x1b[A`, /other characters than printable ASCII/],
    ['with a blank at its end', `${long} `, /begins or ends with a blank/],
  ]
  for (const [what, passphrase, says] of rules) {
    test(`${what} is refused, and not quoted`, async () => {
      const error = await rejects(() => checkPassphrase('alice', passphrase), says)
      assert.is((error as Fail).exitCode, 2)
      assert.not(error.message.includes('correct'), error.message)
    })
  }

  test('of 20 printable characters is good', () => {
    for (const passphrase of [long, `!"#$%&'()*+,-./:;<=>?@[\\]^_\`{|}~`, 'a'.repeat(20)])
      checkPassphrase('alice', passphrase)
  })
})
