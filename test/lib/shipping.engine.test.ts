/** Rounds from one folder of this machine to another, through rsync and an ssh of ours; no lab, but programs by the dozen. */
import { execFileSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import { Fail } from '../../ops/lib/fail.ts'
import { shipRound } from '../../ops/lib/shipping.ts'
import { repository, World } from '../box.ts'
import { describe } from '../describe.ts'
import { folders } from '../folders.ts'

const [first, second] = ['20261122-101700F', '20261123-101700F']
const [wal3, wal4] = ['000000010000000000000003', '000000010000000000000004']
const catalogue = 'backups/repository/backup/everyskill/backup.info'

describe('a round of shipping', ({ test, before, after, beforeEach }) => {
  let world: World

  const folder = folders({ before, after })
  beforeEach(() => {
    world = new World(folder())
  })

  const round = (whole = false) => shipRound(world.host, world.session, world.box, whole)
  const failure = async (whole = false) => {
    const error = await round(whole).then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    assert.ok(error instanceof Fail, String(error))
    return error as Fail
  }
  /** Every file of the box below the backups' folder. */
  const held = () =>
    readdirSync(world.onBox('backups'), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(world.onBox('backups').length + 1))
      .sort()
  const has = (part: string) => held().some((path) => path.includes(part))
  const catalogueThere = () => readFileSync(world.onBox(catalogue), 'utf8')

  test('does nothing before there is a repository', async () => {
    await round()
    assert.equal(world.asked(), [])
  })

  test('copies WAL, backups, records and the catalogue, and nothing that is not finished', async () => {
    world.wal(wal3)
    world.backup(first, 'one')
    world.file(`backup/everyskill/${second}/pg_data/base/1.zst`)
    world.file(`archive/everyskill/17-1/0000000100000000/${wal4}.pgbackrest.tmp`)
    await round()
    assert.equal(held(), [
      `manifests/${first}.json`,
      `repository/archive/everyskill/17-1/0000000100000000/${wal3}-${'a'.repeat(40)}.zst`,
      'repository/archive/everyskill/archive.info',
      'repository/archive/everyskill/archive.info.copy',
      `repository/backup/everyskill/${first}/backup.manifest`,
      `repository/backup/everyskill/${first}/pg_data/base/1.zst`,
      'repository/backup/everyskill/backup.info',
      'repository/backup/everyskill/backup.info.copy',
    ])
  })

  test('sends the catalogue last: what it names is there by then', async () => {
    world.wal(wal3)
    world.backup(first, 'one')
    await round()
    const sent = world.asked().filter((one) => one.startsWith('rsync --server'))
    const last = sent.map((one) => /(\S+)$/.exec(one)?.[1])
    assert.equal(last.slice(-2), [
      'backups/repository/archive/everyskill/',
      'backups/repository/backup/everyskill/',
    ])
    for (const other of last.slice(0, -2)) assert.not.match(other ?? '', /everyskill\/$/)
  })

  /** A minute passes: a round looks again at what was written in the minute before the last one. */
  const settle = () => {
    const mark = world.host.at('/var/backups/everyskill/shipping/mark')
    execFileSync('bash', ['-c', `sleep 0.02; touch ${mark}; sleep 0.02`])
  }

  test('sends afterwards only what is new, and asks the box nothing when nothing is', async () => {
    world.wal(wal3)
    world.backup(first, 'one')
    await round()
    rmSync(world.onBox(`backups/repository/archive/everyskill/17-1/0000000100000000`), { recursive: true })
    world.asked()
    settle()
    await round()
    assert.equal(world.asked(), [])
    settle()
    world.wal(wal4)
    await round()
    assert.ok(has(wal4))
    assert.not.ok(has(wal3), 'it was sent before')
    await round(true)
    assert.ok(has(wal3), 'a whole round compares everything')
  })

  test('lets no WAL wait for a backup that takes long', async () => {
    world.backup(first, 'one')
    const [begun, overtaken] = [join(world.dir, 'begun'), join(world.dir, 'overtaken')]
    const there = world.onBox('backups/repository/archive/everyskill/17-1/0000000100000000')
    world.host.program(
      'rsync',
      `case "$*" in *--relative*${first}*)
  touch ${begun}
  for _ in $(seq 400); do if ls ${there}/${wal3}-*.zst > /dev/null 2>&1; then touch ${overtaken}; break; fi; sleep 0.1; done ;;
esac
exec "$(PATH=\${PATH#*:} command -v rsync)" "$@"`,
    )
    const done = round()
    while (!existsSync(begun)) await sleep(50)
    world.wal(wal3)
    await done
    assert.ok(existsSync(overtaken), 'the segment came while the backup was still on its way')
    assert.ok(has(`${first}/backup.manifest`))
    assert.is(catalogueThere(), 'one')
  })

  test('sends a file again that was touched: so a copy on the box that is damaged is mended', async () => {
    world.backup(first, 'one')
    await round()
    const [mine, theirs] = [repository, 'backups/repository'].map(
      (dir) => `${dir}/backup/everyskill/${first}/pg_data/base/1.zst`,
    ) as [string, string]
    const good = readFileSync(world.host.at(mine), 'utf8')
    const { mtime } = statSync(world.onBox(theirs))
    writeFileSync(world.onBox(theirs), good.replace(/.$/, '!'))
    utimesSync(world.onBox(theirs), mtime, mtime)
    await round(true)
    assert.is.not(readFileSync(world.onBox(theirs), 'utf8'), good, 'size and time are the same')
    utimesSync(world.host.at(mine), new Date(), new Date())
    await round(true)
    assert.is(readFileSync(world.onBox(theirs), 'utf8'), good)
  })

  test('takes the records of drills along', async () => {
    world.backup(first, 'one')
    const drills = world.host.at('/opt/everyskill/evidence/drills')
    mkdirSync(drills, { recursive: true })
    for (const name of ['000001.json', '.lock']) writeFileSync(join(drills, name), name)
    await round()
    settle()
    writeFileSync(join(drills, '000002.json'), 'new')
    await round()
    assert.equal(
      held().filter((path) => path.startsWith('evidence/')),
      ['evidence/000001.json', 'evidence/000002.json'],
    )
  })

  test('never deletes on the box', async () => {
    world.backup(first, 'one')
    world.backup(second, 'one')
    await round()
    rmSync(world.host.at(`${repository}/backup/everyskill/${first}`), { recursive: true })
    world.catalogue('two')
    await round()
    await round(true)
    assert.ok(has(`${first}/pg_data`) && has(`${second}/pg_data`))
    assert.is(catalogueThere(), 'two')
    for (const one of world.asked()) assert.not.match(one, /^rm|--delete/)
  })

  test('refuses a box that holds the backups of another database, and touches nothing there', async () => {
    world.backup(first, 'one')
    await round()
    world.catalogue('of another database')
    rmSync(world.host.at('/var/backups/everyskill/shipping'), { recursive: true })
    for (const whole of [false, true]) {
      const { exitCode, message } = await failure(whole)
      assert.is(exitCode, 3)
      assert.match(message, /holds the backups of another database/)
    }
    assert.is(catalogueThere(), 'one')
  })

  test('refuses a box that knows a newer backup than the server does', async () => {
    world.backup(first, 'one')
    world.backup(second, 'one')
    await round()
    rmSync(world.host.at(`${repository}/backup/everyskill/${second}`), {
      recursive: true,
    })
    const { exitCode, message } = await failure(true)
    assert.is(exitCode, 3)
    assert.match(message, new RegExp(`holds the backup ${second}, which this server does not know`))
  })

  test('ends as unreachable when the box is, keeps the old catalogue there, and goes on when it is back', async () => {
    world.backup(first, 'one')
    await round()
    settle()
    renameSync(world.onBox(''), world.onBox('../away'))
    const unreachable = async (whole: boolean) => {
      const { exitCode, message } = await failure(whole)
      assert.is(exitCode, 5, message)
      assert.match(message, /the Storage Box cannot be reached/)
    }
    world.wal(wal3)
    await unreachable(false)
    world.backup(second, 'two')
    for (const whole of [false, true]) await unreachable(whole)
    renameSync(world.onBox('../away'), world.onBox(''))
    assert.is(catalogueThere(), 'one')
    await round()
    assert.is(catalogueThere(), 'two')
    assert.ok(has(`${second}/backup.manifest`))
  })

  test('sends no catalogue when a backup could not be sent', async () => {
    world.backup(first, 'one')
    await round()
    world.backup(second, 'two')
    world.host.program(
      'rsync',
      `case "$*" in *--relative*${second}*) exit 23 ;; esac; PATH=\${PATH#*:} rsync "$@"`,
    )
    for (const whole of [false, true]) {
      assert.is((await failure(whole)).exitCode, 1)
      for (const name of [
        catalogue,
        catalogue.replaceAll('backup', 'archive').replace('archives', 'backups'),
      ])
        assert.is(readFileSync(world.onBox(name), 'utf8'), 'one', name)
    }
    assert.ok(existsSync(world.host.at('/var/backups/everyskill/shipping/sent')))
  })
})
