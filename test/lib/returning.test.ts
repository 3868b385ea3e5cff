import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import * as assert from 'uvu/assert'
import { Fail } from '../../ops/lib/fail.ts'
import {
  beginReturn,
  bringRepositoryBack,
  endReturn,
  isReturning,
  refuseReturning,
} from '../../ops/lib/returning.ts'
import { repository, World } from '../box.ts'
import { describe } from '../describe.ts'
import { folders } from '../folders.ts'

const info = JSON.stringify([
  { archive: [], backup: [], db: [], status: { code: 2, message: 'no valid backups' } },
])

describe('a repository that comes back', ({ test, before, after, beforeEach }) => {
  let world: World
  const folder = folders({ before, after })
  beforeEach(() => {
    world = new World(folder())
    world.host.program('docker', `echo '${info}'`)
    const settings = world.host.at('/opt/everyskill/env/compose.env')
    mkdirSync(dirname(settings), { recursive: true })
    writeFileSync(settings, 'POSTGRES_IMAGE=postgres\n')
  })

  const mine = () => world.host.at(`${repository}/backup/everyskill/20261122-101700F/backup.manifest`)
  const there = (...names: string[]) => {
    for (const name of names) {
      const file = world.onBox(`backups/repository/${name}`)
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(file, 'from the box')
    }
  }
  const back = () => bringRepositoryBack(world.host, world.session, world.box)
  const failure = async (work: Promise<unknown>) => {
    const error = await work.catch((thrown: unknown) => thrown)
    assert.ok(error instanceof Fail, String(error))
    return error as Fail
  }

  test('lets no backup be made until all of it is here: that would forget the older ones', async () => {
    await refuseReturning(world.host)
    await beginReturn(world.host)
    assert.ok(await isReturning(world.host))
    const { exitCode, message } = await failure(refuseReturning(world.host))
    assert.is(exitCode, 3)
    assert.match(message, /would forget the older ones\. Run again what was cut short/)
    await endReturn(world.host)
    await refuseReturning(world.host)
  })

  test('takes the place of the present one, which is put aside', async () => {
    world.backup('20261122-101700F', 'mine')
    there('archive/everyskill/archive.info', 'backup/everyskill/backup.info')
    await back()
    assert.not.ok(existsSync(mine()))
    assert.ok(existsSync(world.host.at(`${repository}/archive/everyskill/archive.info`)))
    assert.not.ok(await isReturning(world.host))
    assert.match(world.session.said.join('\n'), /put the present one aside/)
  })

  test('is looked at first: where the box has none, the present one stays', async () => {
    world.backup('20261122-101700F', 'mine')
    there('archive/everyskill/archive.info')
    assert.is((await failure(back())).exitCode, 3)
    assert.ok(existsSync(mine()))
    assert.not.ok(await isReturning(world.host), 'nothing was begun')
  })

  test('that was cut short stays marked, and the same call brings the rest', async () => {
    world.backup('20261122-101700F', 'mine')
    there('archive/everyskill/archive.info', 'backup/everyskill/backup.info', 'archive/everyskill/17-1/wal')
    world.host.program('df', "printf '1B-blocks Avail\\n1000000 100000\\n'")
    assert.is((await failure(back())).exitCode, 3, 'no room for it')
    assert.ok(await isReturning(world.host))
    rmSync(join(world.host.dir, 'bin', 'df'))
    world.file('archive/everyskill/17-1/kept', 'what came before')
    await back()
    assert.not.ok(await isReturning(world.host))
    assert.match(
      world.session.said.join('\n'),
      /going on with what was cut short; the one before lies in \S+aside-/,
    )
    for (const name of ['wal', 'kept'])
      assert.ok(existsSync(world.host.at(`${repository}/archive/everyskill/17-1/${name}`)), name)
  })
})
