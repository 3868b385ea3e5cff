import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import * as assert from 'uvu/assert'
import { fetched, holdings, own, records } from '../../ops/lib/copies.ts'
import { Fail } from '../../ops/lib/fail.ts'
import { fetchAll, fetchCatalogue, fetchEvidence, fetchTarget } from '../../ops/lib/fetching.ts'
import type { Target } from '../../ops/lib/target.ts'
import { clean } from '../bash.ts'
import { World } from '../box.ts'
import { describe } from '../describe.ts'
import { folders } from '../folders.ts'
import { Captor, Listener } from '../hosts.ts'
import { physical, recorded, segment } from '../physical.ts'

const full = physical('2026-11-22T10:17:00Z', { wal: 254 })
const incr = physical('2026-11-22T11:17:00Z', { full, wal: 256 })
const other = physical('2026-11-23T10:17:00Z', { wal: 300 })
const target: Target = {
  set: incr,
  at: undefined,
  latest: false,
  record: undefined,
  timeline: undefined,
  until: segment(1, 258),
}

describe('what is fetched from the Storage Box', ({ test, before, after, beforeEach }) => {
  let world: World

  const folder = folders({ before, after })
  beforeEach(() => {
    world = new World(folder())
  })

  const write = (path: string) => {
    const file = world.onBox(`backups/${path}`)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, path)
  }
  /** A box that holds three backups with records, and WAL of two timelines. */
  const fill = () => {
    for (const name of ['archive/everyskill/archive.info', 'backup/everyskill/backup.info'])
      for (const copy of [name, `${name}.copy`]) write(`repository/${copy}`)
    for (const { label } of [full, incr, other]) {
      write(`repository/backup/everyskill/${label}/backup.manifest`)
      write(`manifests/${label}.json`)
    }
    const wal = (name: string) =>
      write(`repository/archive/everyskill/17-2/${name.slice(0, 16)}/${name}-${'a'.repeat(40)}.zst`)
    for (const number of [10, 254, 255, 256, 258, 259, 300, 600]) wal(segment(1, number))
    wal(segment(2, 257))
    write('repository/archive/everyskill/17-2/00000002.history')
    write(`repository/archive/everyskill/18-1/${segment(1, 1).slice(0, 16)}/old`)
  }
  const here = (dir: string) =>
    existsSync(world.host.at(dir))
      ? readdirSync(world.host.at(dir), { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map((entry) => join(entry.parentPath, entry.name).slice(world.host.at(dir).length + 1))
          .sort()
      : []
  const numbers = (files: string[]) =>
    files.filter((path) => path.includes('.zst')).map((path) => path.split('/').at(-1)?.slice(0, 24))

  test('is asked for by bash that ShellCheck has nothing to say about', async () => {
    const captor = new Captor(() => '[]')
    const said = new Listener()
    await fetchCatalogue(captor, said, world.box, fetched)
    await fetchTarget(captor, said, world.box, fetched, target)
    await fetchAll(captor, said, world.box, own, [full])
    await fetchEvidence(captor, said, world.box)
    await holdings(captor, said, own)
    await records(new Captor(), said, own)
    clean(...captor.scripts)
    assert.is(captor.scripts.length, 5)
  })

  test('is first the catalogue and the records, and no more', async () => {
    fill()
    await fetchCatalogue(world.host, world.session, world.box, fetched)
    assert.equal(here(fetched.dir), [
      'archive/everyskill/archive.info',
      'archive/everyskill/archive.info.copy',
      'backup/everyskill/backup.info',
      'backup/everyskill/backup.info.copy',
    ])
    assert.equal(here(fetched.manifests), [full, incr, other].map(({ label }) => `${label}.json`).sort())
  })

  test('is the one of a file and its copy that is there', async () => {
    fill()
    const gone = ['archive/everyskill/archive.info.copy', 'backup/everyskill/backup.info']
    for (const name of gone) rmSync(world.onBox(`backups/repository/${name}`))
    await fetchCatalogue(world.host, world.session, world.box, own)
    assert.equal(here(own.dir), ['archive/everyskill/archive.info', 'backup/everyskill/backup.info.copy'])
  })

  test('is then the backups that the target needs, and the WAL from its start to its end, of every timeline', async () => {
    fill()
    await fetchCatalogue(world.host, world.session, world.box, fetched)
    await fetchTarget(world.host, world.session, world.box, fetched, target)
    const files = here(fetched.dir)
    assert.equal(
      files.filter((path) => path.endsWith('backup.manifest')),
      [`backup/everyskill/${full.label}/backup.manifest`, `backup/everyskill/${incr.label}/backup.manifest`],
    )
    assert.equal(numbers(files), [segment(1, 256), segment(1, 258), segment(2, 257)])
    assert.ok(files.includes('archive/everyskill/17-2/00000002.history'))
    assert.not.ok(
      files.some((path) => path.includes('18-1')),
      'the archive of another cluster',
    )
  })

  test('is all the WAL from there on when nobody knows where it ends', async () => {
    fill()
    await fetchCatalogue(world.host, world.session, world.box, fetched)
    await fetchTarget(world.host, world.session, world.box, fetched, {
      ...target,
      set: full,
      until: undefined,
    })
    const wanted = [254, 255, 256, 258, 259, 300, 600].map((number) => segment(1, number))
    assert.equal(numbers(here(fetched.dir)), [...wanted, segment(2, 257)].sort())
  })

  test('is in the end the whole history, of which nothing that is here is replaced', async () => {
    fill()
    await fetchTarget(world.host, world.session, world.box, own, target)
    const mine = world.host.at(`${own.dir}/backup/everyskill/${incr.label}/backup.manifest`)
    writeFileSync(mine, 'mine, and newer')
    const planted = 'repository/backup/everyskill/20200101-000000F/backup.manifest'
    write(planted)
    await fetchAll(world.host, world.session, world.box, own, [full, incr, other])
    assert.not.ok(
      here(own.dir).some((path) => planted.endsWith(path)),
      'the catalogue does not know it',
    )
    const files = here(own.dir)
    assert.is(numbers(files).length, 9)
    assert.is(files.filter((path) => path.endsWith('backup.manifest')).length, 3)
    assert.is(readFileSync(mine, 'utf8'), 'mine, and newer')
    assert.not.ok(
      files.some((path) => path.endsWith('.info')),
      'the catalogue here is newer too',
    )
  })

  test('is refused as a whole when the disk has no room for all of it', async () => {
    fill()
    world.host.program('df', "printf '1B-blocks Avail\n1000000 100100\n'")
    const all = () => fetchAll(world.host, world.session, world.box, own, [full, incr, other])
    const error = await all().catch((thrown: unknown) => thrown)
    assert.ok(error instanceof Fail && error.exitCode === 3, String(error))
    assert.match(error.message, /no room on the file system of/)
    assert.equal(here(own.dir), [])
    world.host.program('df', "printf '1B-blocks Avail\n1000000 200000\n'")
    await all()
    assert.is(numbers(here(own.dir)).length, 9)
  })

  test('needs no records, and brings those of drills if there are any, but none over what is here', async () => {
    fill()
    rmSync(world.onBox('backups/manifests'), { recursive: true })
    await fetchCatalogue(world.host, world.session, world.box, fetched)
    assert.equal(here(fetched.manifests), [])
    await fetchEvidence(world.host, world.session, world.box)
    for (const seq of [1, 2]) write(`evidence/00000${seq}.json`)
    const mine = world.host.at('/opt/everyskill/evidence/drills/000001.json')
    mkdirSync(dirname(mine), { recursive: true })
    writeFileSync(mine, 'mine')
    await fetchEvidence(world.host, world.session, world.box)
    assert.equal(here(dirname('/opt/everyskill/evidence/drills/x')), ['000001.json', '000002.json'])
    assert.is(readFileSync(mine, 'utf8'), 'mine')
  })

  test('is refused from a box that holds no repository, and one that is away is no empty one', async () => {
    const failure = async () => {
      const work = fetchCatalogue(world.host, world.session, world.box, fetched)
      const error = await work.catch((thrown: unknown) => thrown)
      assert.ok(error instanceof Fail, String(error))
      return error as Fail
    }
    mkdirSync(world.onBox('backups'))
    assert.equal(
      [(await failure()).exitCode, /holds no finished repository/.test((await failure()).message)],
      [3, true],
    )
    renameSync(world.onBox(''), world.onBox('../away'))
    const away = await failure()
    assert.is(away.exitCode, 5)
    assert.match(away.message, /the Storage Box cannot be reached/)
  })
})

describe('the records beside a copy', ({ test }) => {
  test('are read; a damaged one is left out and told, for the others are good', async () => {
    const good = [full, other].map((one) => JSON.stringify(recorded(one)))
    const session = new Listener()
    const host = new Captor(() => [good[0], '{"format":1,', '', good[1]].join('\n'))
    assert.equal(await records(host, session, own), [recorded(full), recorded(other)])
    assert.match(
      session.said.join('\n'),
      /^left out: a record in \/var\/backups\/everyskill\/manifests is damaged/,
    )
    assert.is(session.said.length, 1)
  })
})
