import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import * as assert from 'uvu/assert'
import { Fail } from '../../ops/lib/fail.ts'
import { boxFacts, knownLag, lastDone } from '../../ops/lib/measuring.ts'
import { clean } from '../bash.ts'
import { World } from '../box.ts'
import { describe } from '../describe.ts'
import { folders } from '../folders.ts'
import { Captor, Listener } from '../hosts.ts'

const shipping = '/var/backups/everyskill/shipping'
const segment = (name: string) => `${name}-${'a'.repeat(40)}.zst`

describe('what the watch measures', ({ test, before, after, beforeEach }) => {
  let world: World
  const folder = folders({ before, after })
  beforeEach(() => {
    world = new World(folder())
    mkdirSync(world.onBox('backups'))
  })

  const write = (path: string, content = '') => {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, content)
  }
  const onBox = (path: string, content?: string) => write(world.onBox(`backups/repository/${path}`), content)
  const here = (path: string, content?: string) => write(world.host.at(`${shipping}/${path}`), content)
  const facts = (timeline?: string) => boxFacts(world.host, world.session, world.box, timeline)

  test('is asked for by bash that ShellCheck has nothing to say about', async () => {
    const captor = new Captor()
    await boxFacts(captor, new Listener(), world.box, '00000001')
    await lastDone(captor)
    clean(...captor.scripts)
  })

  test('is on an empty box how full it is, and nothing else', async () => {
    const { newest, percent, catalogue } = await facts()
    assert.equal([newest, catalogue], [undefined, 'none'])
    assert.ok(percent >= 0 && percent <= 100)
  })

  test('is the newest segment of the newest cluster, on the timeline that is live', async () => {
    const wal = (id: string, name: string) =>
      onBox(`archive/everyskill/${id}/${name.slice(0, 16)}/${segment(name)}`)
    wal('17-9', '0000000100000000000000FF')
    wal('17-10', '000000010000000000000003')
    wal('17-10', '00000001000000000000000A')
    wal('17-10', '000000020000000000000004')
    assert.is((await facts('00000001')).newest, segment('00000001000000000000000A'))
    assert.is((await facts('00000002')).newest, segment('000000020000000000000004'))
    assert.is((await facts()).newest, segment('000000020000000000000004'))
  })

  test('tells the catalogue that this server sent, or is about to send, from another one', async () => {
    onBox('backup/everyskill/backup.info', 'sent')
    assert.is((await facts()).catalogue, 'none', 'it never sent one')
    here('sent/backup.info', 'sent')
    assert.is((await facts()).catalogue, 'same')
    onBox('backup/everyskill/backup.info', 'next')
    assert.is((await facts()).catalogue, 'other')
    here('next/backup.info', 'next')
    assert.is((await facts()).catalogue, 'same')
  })

  test('is not known while the box is away', async () => {
    renameSync(world.onBox(''), world.onBox('../away'))
    const error = await facts().catch((thrown: unknown) => thrown)
    assert.ok(error instanceof Fail && error.exitCode === 5, String(error))
  })

  test('is also when each thing was done last, and which backups the box was told of', async () => {
    assert.equal((await lastDone(world.host)).sent, [])
    here('verified', '2026-11-22T10:00:00Z\n')
    here('sent/records', '20261122-101700F.json\n20261122-101700F_20261122-111700I.json\n')
    const { verify, sent, dump, drill } = await lastDone(world.host)
    assert.equal(verify, new Date('2026-11-22T10:00:00Z'))
    assert.equal(sent, ['20261122-101700F', '20261122-101700F_20261122-111700I'])
    assert.equal([dump, drill], [undefined, undefined])
    rmSync(world.host.at(`${shipping}/verified`))
    assert.equal(
      [(await lastDone(world.host)).verify, (await lastDone(world.host)).sent.length],
      [undefined, 2],
    )
  })

  test('knows how long the box has been behind from the last look', async () => {
    assert.is(await knownLag(world.host), null)
    here('lag.json', JSON.stringify({ lsn: '1', asked: false }))
    assert.is(await knownLag(world.host), 0)
    here('lag.json', JSON.stringify({ since: Date.now() - 90_000, lsn: '1', asked: false }))
    assert.is(Math.round(((await knownLag(world.host)) as number) / 10), 9)
  })
})
