import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { boxHoldings } from '../../ops/lib/box-holdings.ts'
import { clean } from '../bash.ts'
import { World } from '../box.ts'
import { describe } from '../describe.ts'
import { Captor, Listener } from '../hosts.ts'

describe('what lies on the Storage Box', ({ test, before, after }) => {
  let base = ''
  let world: World

  before(() => {
    base = mkdtempSync(join(tmpdir(), 'holdings-'))
    world = new World(base)
  })
  after(() => rmSync(base, { recursive: true, force: true }))

  test('is nothing while there is nothing', async () => {
    const { sets, folders } = await boxHoldings(world.host, world.session, world.box)
    assert.equal([sets, folders], [[], []])
  })

  test('is its backups, and the newest archive with the time each folder was changed', async () => {
    const [sets, archive] = ['backup', 'archive'].map((name) => `backups/repository/${name}/everyskill`)
    for (const name of [
      '20261123-021700F',
      '20261123-021700F_20261123-031700I',
      '20260101-021700F.part',
      'latest',
    ])
      mkdirSync(world.onBox(`${sets}/${name}`), { recursive: true })
    writeFileSync(world.onBox(`${sets}/backup.info`), '')
    for (const name of [
      '16-1/0000000100000000',
      '17-2/0000000100000001',
      '17-2/0000000200000001',
      '17-2/0000000100000000.part',
    ])
      mkdirSync(world.onBox(`${archive}/${name}`), { recursive: true })
    const changed = new Date('2026-08-01T10:00:00Z')
    utimesSync(world.onBox(`${archive}/17-2/0000000100000001`), changed, changed)
    const held = await boxHoldings(world.host, world.session, world.box)
    assert.equal(held.sets, ['20261123-021700F', '20261123-021700F_20261123-031700I'])
    assert.is(held.archive, `${archive}/17-2`)
    assert.equal(
      held.folders.map((one) => one.name),
      ['0000000100000001', '0000000200000001'],
    )
    assert.equal(held.folders[0]?.changed, changed)
    const halves = [`${sets}/20260101-021700F.part`, `${archive}/17-2/0000000100000000.part`]
    assert.equal(held.halves, halves, 'what a prune left that was cut short')
  })

  test('is asked for by bash that ShellCheck has nothing to say about', async () => {
    const host = new Captor()
    await boxHoldings(host, new Listener(), world.box)
    clean(...host.scripts)
  })
})
