import { mkdirSync, utimesSync, writeFileSync } from 'node:fs'
import * as assert from 'uvu/assert'
import { own } from '../../ops/lib/copies.ts'
import { Fail } from '../../ops/lib/fail.ts'
import { refuseFork } from '../../ops/lib/new-server.ts'
import type { Target } from '../../ops/lib/target.ts'
import { describe } from '../describe.ts'
import { folders } from '../folders.ts'
import { Elsewhere, Listener } from '../hosts.ts'
import { physical } from '../physical.ts'

const set = physical('2026-11-22T10:17:00Z')
const target: Target = {
  ...{ set, at: undefined, latest: true, record: undefined, timeline: undefined, until: undefined },
}

describe('a disaster after a restore in place', ({ test, before, after, beforeEach }) => {
  let host: Elsewhere

  const folder = folders({ before, after })
  beforeEach(() => {
    host = new Elsewhere(folder(), new Listener())
    mkdirSync(host.at(`${own.dir}/archive/everyskill/17-1`), { recursive: true })
  })

  const history = (timeline: number, hours: number) => {
    const name = `${timeline.toString(16).padStart(8, '0').toUpperCase()}.history`
    const file = host.at(`${own.dir}/archive/everyskill/17-1/${name}`)
    const seconds = set.stopped.getTime() / 1000 + hours * 3600
    writeFileSync(file, '')
    utimesSync(file, seconds, seconds)
  }

  test('goes on where no other timeline was begun, or before the newest backup', async () => {
    await refuseFork(host, target)
    history(2, -1)
    await refuseFork(host, target)
  })

  test('asks which timeline was live, where one was begun after the newest backup', async () => {
    history(2, -1)
    history(10, 1)
    const error = await refuseFork(host, target).catch((thrown: unknown) => thrown)
    assert.ok(error instanceof Fail, String(error))
    assert.is(error.exitCode, 3)
    assert.match(error.message, /began timeline 10, .* Say --timeline 10, or --timeline 1 for/)
  })

  test('is not asked when the operator has said it, or asks for a moment', async () => {
    history(2, 1)
    await refuseFork(host, { ...target, timeline: 2 })
    await refuseFork(host, { ...target, latest: false, at: new Date() })
  })
})
