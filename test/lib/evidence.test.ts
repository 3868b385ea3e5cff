import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { lastPassed } from '../../ops/lib/evidence.ts'
import { describe } from '../describe.ts'
import { Elsewhere, Listener } from '../hosts.ts'

const last = (host: Elsewhere) => lastPassed(host, 'restore_drill')

describe('the last drill', ({ test, before, after }) => {
  let dir = ''
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'evidence-test-'))
  })
  after(() => rmSync(dir, { recursive: true, force: true }))

  test('is the newest one that passed; a failed one alone is none, and no error', async () => {
    const host = new Elsewhere(dir, new Listener())
    assert.is(await last(host), undefined)
    const drills = host.at('/opt/everyskill/evidence/drills')
    mkdirSync(drills, { recursive: true })
    writeFileSync(join(drills, '000001.started'), 'died')
    assert.is(await last(host), undefined)
    const record = (seq: number, result: string, type = 'restore_drill') =>
      writeFileSync(
        join(drills, `00000${seq}.json`),
        `${JSON.stringify({ type, started_at: `2026-01-0${seq}T00:00:00.000Z`, result }, null, 2)}\n`,
      )
    record(2, 'fail')
    assert.is(await last(host), undefined)
    record(3, 'pass')
    record(4, 'fail')
    assert.is(await lastPassed(host, 'dump_drill', 'dump_reading'), undefined, 'none of these passed')
    record(5, 'pass', 'dump_drill')
    record(6, 'pass', 'dump_reading')
    assert.is((await last(host))?.toISOString(), '2026-01-03T00:00:00.000Z')
    const dumps = await lastPassed(host, 'dump_drill', 'dump_reading')
    assert.is(dumps?.toISOString(), '2026-01-06T00:00:00.000Z')
  })
})
