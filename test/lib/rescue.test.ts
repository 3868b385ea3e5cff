/** The client against the lab's own fake of the API, whose power switch is a folder. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import { Fail } from '../../ops/lib/fail.ts'
import { type ServerApi, serverApi } from '../../ops/lib/hcloud-server.ts'
import { bootFromDisk, intoRescue, resetServer } from '../../ops/lib/rescue.ts'
import { describe, rejects } from '../describe.ts'
import { Listener } from '../hosts.ts'
import { serveApi } from '../lab/images/hetzner/api.ts'
import { Servers } from '../lab/images/hetzner/servers.ts'

const token = 'h'.repeat(64)
const key = 'ssh-ed25519 AAAA operator@here'

describe('rescue mode and reset through the API', ({ test, before, after, beforeEach, afterEach }) => {
  let dir = ''
  let power = ''
  let fake: Server
  let asked: string[] = []
  let session = new Listener()
  let servers: Servers
  let pause = 3

  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'rescue-'))
    const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
    const names = ['-subj', '/CN=test', '-addext', 'subjectAltName=IP:127.0.0.1']
    const out = ['-keyout', join(dir, 'key'), '-out', join(dir, 'cert')]
    execFileSync('openssl', ['req', '-x509', ...ec, ...names, ...out], { stdio: 'ignore' })
  })
  after(() => rmSync(dir, { recursive: true, force: true }))

  beforeEach(async () => {
    power = mkdtempSync(join(dir, 'power-'))
    session = new Listener()
    pause = 3
    asked = []
    servers = new Servers({ name: 'everyskill', address: '192.0.2.1', power, pause: () => sleep(pause) })
    const tls = { cert: readFileSync(join(dir, 'cert')), key: readFileSync(join(dir, 'key')) }
    // What is not about servers is not asked for here.
    const rest = { zone: undefined, box: undefined } as unknown as Pick<
      Parameters<typeof serveApi>[0],
      'zone' | 'box'
    >
    fake = serveApi({ ...rest, servers, tokens: { dns: () => 'd', hcloud: () => token }, ...tls }, 0)
    fake.on('request', ({ method, url }) => asked.push(`${method} ${url}`))
    await new Promise((done) => fake.once('listening', done))
  })
  afterEach(() => {
    fake.closeAllConnections()
    return new Promise((done) => fake.close(done))
  })

  const there = (name: string) => existsSync(join(power, name))
  const flag = (...names: string[]) => {
    for (const name of names) writeFileSync(join(power, name), '')
  }
  const apiOf = (server = 'everyskill', its = session, host = '192.0.2.1'): ServerApi => {
    const { port } = fake.address() as AddressInfo
    const url = `https://127.0.0.1:${port}/v1/`
    const env = { HCLOUD_TOKEN: token, HCLOUD_SERVER: server, HCLOUD_API: url, SERVER_HOST: host }
    const api = serverApi(join(dir, '.env'), { ...env, TRUSTED_ROOT: 'cert' }, its)
    assert.ok(api)
    return { ...(api as ServerApi), pace: 1 }
  }
  const posts = () => asked.filter((call) => call.startsWith('POST')).map((call) => call.split('/').at(-1))

  test('needs a token and a server', () => {
    const env = {
      HCLOUD_TOKEN: undefined,
      HCLOUD_SERVER: 'a',
      HCLOUD_API: 'https://a',
      SERVER_HOST: 'a',
      TRUSTED_ROOT: undefined,
    }
    assert.is(serverApi('.env', env, session), undefined)
    assert.is(
      serverApi('.env', { ...env, HCLOUD_TOKEN: token, HCLOUD_SERVER: undefined }, session),
      undefined,
    )
  })

  test('starts a running server into the rescue system, with our key', async () => {
    flag('on', 'running')
    await intoRescue(apiOf(), [key])
    assert.ok(there('rescue') && there('reset'))
    assert.is(readFileSync(join(power, 'keys'), 'utf8'), `${key}\n`)
    assert.equal(posts(), ['ssh_keys', 'enable_rescue', 'reset'])
    await intoRescue(apiOf(), ['ssh-ed25519 AAAA another-comment'])
    assert.equal(
      posts().slice(3),
      ['disable_rescue', 'enable_rescue', 'reset'],
      'the key is known, the old mode is not',
    )
  })

  test('switches on a server that is off, and finds it by its id too', async () => {
    await resetServer(apiOf('4242'))
    assert.ok(there('on'))
    assert.equal(posts(), ['poweron'])
  })

  test('starts from the disk, without a rescue system that waits', async () => {
    flag('on', 'running', 'rescue')
    await bootFromDisk(apiOf())
    assert.not.ok(there('rescue'))
    assert.equal(posts(), ['disable_rescue', 'reset'])
  })

  test('tries an action again that ended with an unknown error', async () => {
    flag('on', 'running', 'fail')
    await intoRescue(apiOf(), [key])
    assert.ok(there('rescue') && there('reset'))
    assert.equal(posts(), ['ssh_keys', 'enable_rescue', 'enable_rescue', 'reset'])
    assert.match(session.said.join(), /unknown_error.*trying again/)
  })

  test('waits while another action has the server locked', async () => {
    flag('on', 'running')
    pause = 60
    const begun = servers.answer('POST', ['servers', '4242', 'actions', 'poweron'], new URLSearchParams(), {})
    assert.is(begun.status, 201)
    await resetServer(apiOf())
    assert.ok(there('reset'))
    assert.ok(posts().length > 1, 'it was locked at first')
  })

  test('says that the project has no such server, and shows no token', async () => {
    for (const name of ['other', '17']) {
      const error = await rejects(() => resetServer(apiOf(name)), /has no server (other|17)\. Check its name/)
      assert.ok(error instanceof Fail && error.exitCode === 3)
      assert.not.match((error as Error).message, /h{20}/)
    }
  })

  test('finds our key on the second page of many', async () => {
    flag('on', 'running')
    for (let i = 0; i < 60; i++) {
      const public_key = i === 55 ? key : `ssh-ed25519 ${i}`
      servers.answer('POST', ['ssh_keys'], new URLSearchParams(), { name: `key ${i}`, public_key })
    }
    await intoRescue(apiOf(), [key])
    assert.equal(posts(), ['enable_rescue', 'reset'])
    assert.is(readFileSync(join(power, 'keys'), 'utf8'), `${key}\n`)
  })

  test('touches no server but the one at SERVER_HOST', async () => {
    flag('on', 'running')
    for (const host of ['192.0.2.2', 'localhost', 'no-such-host.invalid'])
      for (const work of [
        () => intoRescue(apiOf('everyskill', session, host), [key]),
        () => bootFromDisk(apiOf('everyskill', session, host)),
      ]) {
        const error = await rejects(work, /everyskill has the address 192\.0\.2\.1, and SERVER_HOST is /)
        assert.ok(error instanceof Fail && error.exitCode === 3)
      }
    assert.equal(posts(), [])
    assert.not.ok(there('rescue'))
  })

  test('a reset that failed and left the server off is followed by the power switch', async () => {
    flag('on', 'running', 'fail')
    const machine = setInterval(() => there('on') || rmSync(join(power, 'running'), { force: true }), 1)
    await resetServer(apiOf()).finally(() => clearInterval(machine))
    assert.equal(posts(), ['reset', 'poweron'])
    assert.ok(there('on'))
  })

  test('changes nothing in a dry run', async () => {
    flag('on', 'running')
    const dry = new Listener(true)
    await intoRescue(apiOf('everyskill', dry), [key])
    assert.equal(posts(), [])
    assert.equal(dry.printed.length, 3)
  })
})
