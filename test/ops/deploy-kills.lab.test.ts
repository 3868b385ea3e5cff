/** A deploy that ends in the middle, at any moment: the site goes on, and the next deploy needs no help. */
import * as assert from 'uvu/assert'
import { describe, kills } from '../describe.ts'
import { begin, sometime } from '../lab/begin.ts'
import { ops } from '../lab/ops.ts'
import { until } from '../lab/shell.ts'
import type { World } from '../lab/world.ts'
import {
  answering,
  containers,
  deployedHere,
  ended,
  forget,
  liveNow,
  releaseFrom,
  watched,
} from './deploy-helpers.ts'

describe('a deploy that is cut short', { timeout: 120_000 }, ({ test, before, after }) => {
  let world: World
  let home = ''
  const made: string[] = []
  const release = async (name: string) => {
    const sha = await releaseFrom(home, name, { web: { lines: `LABEL everyskill.test=${name}` } })
    made.push(sha)
    return sha
  }
  const webs = async () => Object.keys(await containers(world)).filter((name) => name.startsWith('web-'))
  const file = () => world.server.exec('cat /opt/everyskill/live/colours')

  before(
    async () => {
      world = await deployedHere()
      home = (await liveNow()).sha
    },
    { timeout: 600_000 },
  )
  after(
    async () => {
      if ((await liveNow()).sha !== home) await ops(['deploy', home])
      await forget(world, made)
    },
    { timeout: 120_000 },
  )

  /** Cuts deploys short and then lets one through, all the while asking the site. */
  async function cutShort(signal: 'SIGKILL' | 'SIGINT', times: number): Promise<void> {
    const { seen } = await watched(world, async () => {
      for (let i = 0; i < times; i++) {
        const { done, kill, interrupt } = begin(world.env, ['deploy', await release(`${signal}-${i}`)])
        await sometime(1500, 18_000)
        const sent = performance.now()
        if (signal === 'SIGINT') interrupt()
        else kill()
        const { code, stderr } = await done
        console.log(`${signal} ${i}: ended with ${code} after: ${stderr.trim().split('\n').at(-1)}`)
        // One that was at its end already ends well, and at once.
        const over = code === 0 && performance.now() - sent < 2000
        if (signal === 'SIGINT') assert.ok(code === 130 || over, `${code}: ${stderr}`)
        // Caddy asks twice a second: just after the file was written the other colour may answer still.
        await until('Caddy to follow the file', 10, async () => {
          const ready = await file()
          assert.match(ready, /^(blue|green|blue green|green blue)$/)
          return (await answering(world)).every((colour) => ready.includes(colour)) || undefined
        })
      }
      const last = await release(`after-${signal}`)
      await ops(['deploy', last])
      const live = await liveNow()
      assert.is(live.sha, last)
      assert.is(await file(), live.colour)
      assert.equal(await webs(), [`web-${live.colour}`])
      assert.equal(await answering(world), [live.colour])
    })
    assert.equal(seen.bad, [])
    assert.ok(seen.asked > 100, `${seen.asked} requests prove nothing`)
  }

  test(
    `by SIGKILL (${kills} times) leaves the site answering, and the next one goes through`,
    { timeout: 90_000 + kills * 60_000 },
    () => cutShort('SIGKILL', kills),
  )

  test(
    'by Ctrl-C ends with 130, leaves the site answering, and the next one goes through',
    { timeout: 150_000 },
    () => cutShort('SIGINT', 1),
  )

  test('is no release that --rollback goes to: it goes to the commit asked for', async () => {
    const cut = await ended(3, 'deploy', '--rollback', made[0] as string)
    assert.match(cut.stderr, /no such release to go back to/)
    const { seen } = await watched(world, () => ops(['deploy', '--rollback', home.slice(0, 10)]))
    assert.equal(seen.bad, [])
    assert.is((await liveNow()).sha, home)
  })
})
