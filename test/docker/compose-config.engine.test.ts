/** What Compose itself says to both files. */
import * as assert from 'uvu/assert'
import { describe } from '../describe.ts'
import { settings, World } from './world.ts'

/** May be empty or absent. */
const optional = ['ACME_RESOLVERS', 'TRUSTED_ROOT']

describe('docker compose config', ({ test, beforeEach, afterEach }) => {
  let world: World
  beforeEach(() => {
    world = new World()
  })
  afterEach(() => world.remove())

  test('accepts the file, with a profile too, and the overlay', async () => {
    for (const args of [
      ['config', '--quiet'],
      ['--profile', 'migrate', 'config', '--quiet'],
    ]) {
      const { stdout, stderr, ok } = await world.compose(args)
      assert.equal([ok, stdout, stderr], [true, '', ''])
    }
    world.settings({ ...settings, PUBLIC_IPV6: '2001:db8::1' })
    const { stdout, stderr, ok } = await world.compose(['config', '--format', 'json'], { overlay: true })
    assert.equal([ok, stderr], [true, ''])
    const ports = JSON.parse(stdout).services.caddy.ports as { host_ip: string; published: string }[]
    assert.equal(
      ports.map((port) => `${port.host_ip} ${port.published}`),
      [
        '127.0.0.1 80',
        '127.0.0.1 443',
        '127.0.0.1 443',
        '2001:db8::1 80',
        '2001:db8::1 443',
        '2001:db8::1 443',
      ],
    )
  })

  test('a missing or empty variable fails and is named', async () => {
    for (const name of Object.keys(settings).filter((name) => !optional.includes(name))) {
      world.settings({ ...settings, [name]: '' })
      const { ok, stderr } = await world.compose(['config', '--quiet'])
      assert.not(ok, name)
      assert.match(stderr, `required variable ${name} is missing`)
    }
    world.settings(settings)
    const { ok, stderr } = await world.compose(['config', '--quiet'], { overlay: true })
    assert.not(ok)
    assert.match(stderr, 'required variable PUBLIC_IPV6 is missing')
  })

  test('without the optional ones it is silent', async () => {
    const rest = Object.entries(settings).filter(([name]) => !optional.includes(name))
    world.settings(Object.fromEntries(rest))
    const { ok, stderr } = await world.compose(['config', '--quiet'])
    assert.equal([ok, stderr], [true, ''])
  })

  test("the web's environment arrives as it is written, and beats nothing that the file sets", async () => {
    world.write('env/web.env', 'A=$HOME ${B} "c" \'d\' # e\nPORT=1\n')
    const { stdout } = await world.compose(['config', '--format', 'json'])
    const { environment } = JSON.parse(stdout).services['web-blue']
    // Compose doubles a $ in what it prints.
    assert.is(environment.A.replaceAll('$$', '$'), '$HOME ${B} "c" \'d\' # e')
    assert.is(environment.PORT, '2000')
  })
})
