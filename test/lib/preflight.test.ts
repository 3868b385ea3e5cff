import * as assert from 'uvu/assert'
import type { Facts } from '../../ops/lib/facts.ts'
import { Fail } from '../../ops/lib/fail.ts'
import { judge, type Needs } from '../../ops/lib/preflight.ts'
import { describe } from '../describe.ts'

const now = 1_800_000_000_000
const good: Facts = {
  engine: '26.1.5+dfsg1',
  compose: '2.40.3',
  architecture: 'x86_64',
  clock: now / 1000,
  freeBytes: 50 * 1024 ** 3,
  addresses: ['127.0.0.1', '203.0.113.7'],
  listeners: [],
  uid: '0',
  forward: 'DROP',
  caddyRuns: false,
}
const needs: Needs = { addresses: ['203.0.113.7'], bytes: 10 ** 9, architecture: 'linux/amd64' }

function refusal(facts: Partial<Facts>): string {
  try {
    judge({ ...good, ...facts }, needs, now)
  } catch (error) {
    assert.instance(error, Fail)
    assert.is((error as Fail).exitCode, 3)
    return (error as Fail).message
  }
  return ''
}

describe('preflight', ({ test }) => {
  test('lets a good server through', () => assert.is(refusal({}), ''))

  test('names a missing engine and an old one', () => {
    assert.match(refusal({ engine: '' }), /no Docker engine answers/)
    assert.match(refusal({ engine: '19.03.1' }), /older than 20\.10/)
    assert.match(refusal({ compose: '' }), /Compose is missing/)
    assert.match(refusal({ compose: '2.5.0' }), /Compose 2\.5\.0/)
    assert.is(refusal({ compose: 'v5.0.1' }), '')
  })

  test('says how much space is missing', () => {
    assert.match(refusal({ freeBytes: 1024 ** 3 }), /no space: 1\.0 GB free.*2\.9 GB needed/)
  })

  test("names the holder of a port on our address or on all addresses (the seed's Tailscale case)", () => {
    const taken = (address: string) =>
      refusal({ listeners: [{ address, port: '443', holder: 'tailscaled, pid 812' }] })
    for (const address of ['203.0.113.7', '0.0.0.0', '*', '[::]']) {
      assert.match(taken(address), /port 443 is taken on .* by tailscaled, pid 812/, address)
    }
    assert.is(taken('100.64.0.9'), '', 'a listener on the tailnet address is no hindrance')
  })

  test('takes ports held by our own Caddy for free', () => {
    const listeners = [{ address: '203.0.113.7', port: '443', holder: 'docker-proxy, pid 9' }]
    assert.is(refusal({ listeners, caddyRuns: true }), '')
  })

  test('refuses an address that is not there, another architecture, clocks apart, another user', () => {
    assert.match(refusal({ uid: '1000' }), /SERVER_USER must be root/)
    assert.match(refusal({ addresses: ['203.0.113.8'] }), /203\.0\.113\.7 .*is not an address/)
    assert.match(refusal({ architecture: 'aarch64' }), /the server is linux\/arm64/)
    assert.match(refusal({ clock: now / 1000 - 90 }), /clocks/)
  })

  test('refuses an open FORWARD chain where the engine does not guard it itself', () => {
    assert.match(refusal({ forward: 'ACCEPT' }), /iptables -P FORWARD DROP/)
    assert.is(refusal({ forward: 'ACCEPT', engine: '28.5.1' }), '')
    assert.is(refusal({ forward: '' }), '')
  })

  test('knows an IPv6 address in any spelling', () => {
    const both = { ...needs, addresses: ['203.0.113.7', '2001:DB8:0:0::1'] }
    judge({ ...good, addresses: [...good.addresses, '2001:db8::1'] }, both, now)
    const taken = [{ address: '[2001:db8::1]', port: '443', holder: 'nginx, pid 4' }]
    const message = 'port 443 is taken on [2001:db8::1] by nginx'
    try {
      judge({ ...good, addresses: [...good.addresses, '2001:db8::1'], listeners: taken }, both, now)
      assert.unreachable()
    } catch (error) {
      assert.ok((error as Error).message.includes(message))
    }
  })

  test('tells everything at once', () => {
    const message = refusal({ compose: '', freeBytes: 0, addresses: [] })
    assert.match(message, /Compose[\s\S]*no space[\s\S]*PUBLIC_IPV4/)
  })
})
