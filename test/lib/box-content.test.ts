import { mkdirSync, renameSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import * as assert from 'uvu/assert'
import { differingOnBox } from '../../ops/lib/box-content.ts'
import { Fail } from '../../ops/lib/fail.ts'
import { clean } from '../bash.ts'
import { repository, World } from '../box.ts'
import { describe } from '../describe.ts'
import { folders } from '../folders.ts'
import { Captor } from '../hosts.ts'

describe('the copy on the Storage Box, compared file by file', ({ test, before, after, beforeEach }) => {
  let world: World
  const folder = folders({ before, after })
  beforeEach(() => {
    world = new World(folder())
    for (const name of ['archive', 'backup']) {
      mkdirSync(world.host.at(`${repository}/${name}`))
      mkdirSync(world.onBox(`backups/repository/${name}`), { recursive: true })
    }
  })

  const differing = () => differingOnBox(world.host, world.session, world.box)
  const both = (path: string, here: string, there: string) => {
    world.file(path, here)
    const file = world.onBox(`backups/repository/${path}`)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, there)
    for (const one of [file, world.host.at(`${repository}/${path}`)]) utimesSync(one, 1e9, 1e9)
  }

  test('is done by bash that ShellCheck has nothing to say about', async () => {
    const captor = new Captor()
    await differingOnBox(captor, world.session, world.box)
    clean(...captor.scripts)
  })

  test('finds what size and time do not tell, and sends nothing', async () => {
    both('backup/everyskill/20261122-101700F/pg_data/1.zst', 'good', 'good')
    both('backup/everyskill/20261122-101700F/pg_data/2.zst', 'good', 'baad')
    both('archive/everyskill/17-1/0000000100000000/wal', 'longer', 'long')
    both('archive/everyskill/archive.info', 'newer', 'older')
    world.file('archive/everyskill/17-1/0000000100000000/on-its-way', 'x')
    const wrong = [
      'archive/everyskill/17-1/0000000100000000/wal',
      'backup/everyskill/20261122-101700F/pg_data/2.zst',
    ]
    assert.equal(await differing(), wrong)
    assert.equal(await differing(), wrong, 'nothing was mended by looking')
  })

  test('finds nothing where all is the same', async () => {
    both('backup/everyskill/20261122-101700F/backup.manifest', 'good', 'good')
    assert.equal(await differing(), [])
  })

  test('is not done while the box is away', async () => {
    renameSync(world.onBox(''), world.onBox('../away'))
    const error = await differing().catch((thrown: unknown) => thrown)
    assert.ok(error instanceof Fail && error.exitCode === 5, String(error))
  })
})
