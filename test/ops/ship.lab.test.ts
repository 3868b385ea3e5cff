/** The copy on the Storage Box: restorable at any moment, whatever happens on the way there. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { describe } from '../describe.ts'
import { attempted, sometime } from '../lab/begin.ts'
import { loud } from '../lab/cron.ts'
import { boxBackups } from '../lab/deployed.ts'
import { until } from '../lab/shell.ts'
import { sql } from '../lab/sql.ts'
import type { World } from '../lab/world.ts'
import {
  archived,
  backedUp,
  bad,
  good,
  goodWith,
  pgbackrest,
  repository,
  start,
  whileWritten,
} from './backup-helpers.ts'
import { envWith } from './deploy-helpers.ts'

const copies = 10
const home = '/box/everyskill'
/** What the sub-account sees as its home: a file system that is mounted here is seen by it. */
const jail = '/jail/u100001-sub1/home'
/** What a connection is on the box. */
const jobs = 'pgrep -u 2001 sshd'

interface Check {
  name: string
  expected: string
  observed: string
}

describe('the copy on the Storage Box', { timeout: 300_000 }, ({ test, before, after }) => {
  let world: World
  let scratch = ''
  const box = (script: string) => world.storagebox.exec(script)
  /** A `.env` that has the backups in another folder of the box. */
  const at = (dir: string) =>
    envWith(world, join(scratch, `${dir.replaceAll('/', '-')}.env`), { STORAGEBOX_DIR: dir })
  const ship = (dir: string) => attempted(at(dir), ['backup', 'ship', '--once'])
  const restored = async (dir: string): Promise<Check[]> =>
    JSON.parse(await goodWith(at(dir), 'restore', '--json')).checks
  const listed = (dir: string) =>
    box(`ls ${home}/${dir}/repository/backup/everyskill/backup.info 2> /dev/null || true`)
  const sums = `find archive backup -type f ! -name '*.pgbackrest.tmp' -print0 | sort -z | xargs -0 sha256sum`

  /** Every file of the repository is on the box as it is here. */
  async function isWhole(dir: string): Promise<void> {
    const here = (await world.server.exec(`cd ${repository}; ${sums}`)).split('\n')
    const there = new Set((await box(`cd ${home}/${dir}/repository; ${sums}`)).split('\n'))
    assert.ok(here.length > 10, here.join('\n'))
    assert.equal(
      here.filter((one) => !there.has(one)),
      [],
    )
  }

  /** Runs a script on the box again and again, until the work is over. */
  async function meanwhile<T>(script: string, work: () => Promise<T>): Promise<T> {
    const over = `/tmp/over-${Date.now()}`
    const loop = box(`until [ -e ${over} ]; do ${script}; done`)
    try {
      return await work()
    } finally {
      await box(`touch ${over}`)
      await loop
    }
  }

  before(
    async () => {
      world = await backedUp()
      scratch = mkdtempSync(join(tmpdir(), 'ship-test-'))
    },
    { timeout: 900_000 },
  )
  after(async () => {
    const mine = ['copies', 'away', 'cut', 'slow', 'other', 'newer', 'gone'].map((name) => `${home}/${name}`)
    await box(`umount ${jail}/quota 2> /dev/null || true; rm -rf ${mine.join(' ')} ${home}/quota`)
    await sql(world, 'drop table if exists written_a, written_b')
    rmSync(scratch, { recursive: true, force: true })
    await loud(world)
  })

  test(`restores from each of ${copies} copies of the box, taken at random moments while backups run and the database is written`, {
    timeout: 600_000,
  }, async () => {
    await box(`mkdir -p ${home}/copies`)
    await whileWritten(world, async () => {
      let enough = false
      const again = async (...args: [string, ...string[]]) => {
        while (!enough) await good(world, ...args)
      }
      const records = async () => Number(await box(`ls ${boxBackups}/manifests | wc -l`))
      const had = await records()
      const taken = (async () => {
        for (let i = 0; i < copies; i++) {
          await sometime(300, 3500)
          // On a slow machine the first of these backups takes its time; the later copies are to have it.
          if (i === copies / 2)
            await until('another backup on the box', 120, async () =>
              (await records()) > had ? true : undefined,
            )
          // A moment: nothing may write while the names are copied. rsync puts every file in its place by renaming it.
          await box(
            `pkill -STOP -u 2001 || true; cp -al ${boxBackups} ${home}/copies/${i}; pkill -CONT -u 2001 || true`,
          )
        }
      })().finally(() => {
        enough = true
      })
      await Promise.all([taken, again('backup', 'incr'), again('backup', 'ship', '--once')])
    })
    const seen = new Set<string>()
    for (let i = 0; i < copies; i++) {
      const checks = await restored(`copies/${i}`)
      const rows = (name: string) => checks.find((one) => one.name === `rows of public.written_${name}`)
      seen.add(rows('a')?.observed ?? 'none')
      console.log(`copy ${i}: ${checks.length} checks, ${rows('a')?.observed ?? 'no'} rows written meanwhile`)
      assert.is(rows('a')?.observed, rows('b')?.observed)
    }
    assert.ok(seen.size > 1, 'all copies are the same: nothing was shipped while they were taken')
  })

  test('catches up by itself when the box was away', async () => {
    const { done, interrupt } = start(world, 'backup', 'ship')
    const newest = () => box(`find ${boxBackups}/repository/archive -type f -name '*-*' | sort | tail -n 1`)
    try {
      await world.storagebox.crash()
      assert.match((await bad(1, 'backup', 'status')).stderr, /the Storage Box does not answer/)
      await sql(world, 'create table if not exists ship_away (id int); drop table ship_away')
      await archived(world)
      await world.storagebox.start()
      const last = await world.server.exec(
        `cd ${repository}; find archive -type f -name '*-*' | sort | tail -n 1`,
      )
      await until('the newest segment on the box', 60, async () =>
        (await newest()) >= `${boxBackups}/repository/${last}` ? true : undefined,
      )
    } finally {
      interrupt()
      await done
    }
    await good(world, 'backup', 'ship', '--once')
    await isWhole('backups')
  })

  test('says that the box cannot be reached', async () => {
    await world.storagebox.crash()
    try {
      assert.match((await bad(5, 'backup', 'ship', '--once')).stderr, /Storage Box cannot be reached/)
    } finally {
      await world.storagebox.start()
    }
  })

  test('lists nothing on a box that is full, and goes on when there is room', async () => {
    await box(
      `mkdir -p ${jail}/quota; mount -t tmpfs -o size=2m,uid=2001,gid=2001,mode=700 quota ${jail}/quota`,
    )
    const { code, stderr } = await ship('quota/backups')
    assert.ok(code !== 0, 'a full box was good enough')
    assert.match(stderr, /No space left/)
    const catalogue = `ls ${jail}/quota/backups/repository/backup/everyskill/backup.info 2> /dev/null || true`
    assert.is(await box(catalogue), '')
    await box(`mount -o remount,size=300m ${jail}/quota`)
    assert.is((await ship('quota/backups')).code, 0)
    assert.ok((await restored('quota/backups')).length > 3)
    await box(`umount ${jail}/quota`)
  })

  test('takes up a file whose transfer was cut off', async () => {
    const halves = `find ${home}/cut -name '.*.??????' 2> /dev/null | grep -q .`
    const cut = `if ${halves}; then kill -KILL $(${jobs}) 2> /dev/null && touch /tmp/was-cut; fi; sleep 0.005`
    await box('rm -f /tmp/was-cut')
    const { code, stderr } = await meanwhile(cut, () => ship('cut'))
    await box('[ -e /tmp/was-cut ]')
    assert.ok(code === 1 || code === 5, `${code}: ${stderr}`)
    assert.is(await listed('cut'), '')
    assert.is((await ship('cut')).code, 0)
    await isWhole('cut')
    assert.is(await box(`find ${home}/cut -name '.*.??????'`), '')
  })

  test('waits for a box that is slow, and bears that backups are removed meanwhile', async () => {
    await good(world, 'backup', 'full')
    const sets = (await world.server.exec(`ls ${repository}/backup/everyskill | grep -E 'F$' | sort`)).split(
      '\n',
    )
    const slow = `pkill -STOP -u 2001 rsync || true; sleep 0.9; pkill -CONT -u 2001 rsync || true; sleep 0.02`
    const begun = `[ -d ${home}/slow/repository/archive/everyskill/*-1 ]`
    const expired = until('the copy to begin', 30, () =>
      box(begun).then(
        () => true as const,
        () => undefined,
      ),
    ).then(() => pgbackrest(world, `expire --set=${sets[0]}`))
    const [{ code, stderr }] = await Promise.all([meanwhile(slow, () => ship('slow')), expired])
    assert.is(code, 0, stderr)
    assert.is(
      await world.server.exec(`ls -d ${repository}/backup/everyskill/${sets[0]} 2> /dev/null || true`),
      '',
    )
    assert.is((await ship('slow')).code, 0)
    await isWhole('slow')
    assert.ok((await restored('slow')).length > 3)
  })

  test('refuses a box with the backups of another database, or of a later state of this one, and writes nothing', async () => {
    const digest = (dir: string) =>
      box(`cd ${home}/${dir}; find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum`)
    await good(world, 'backup', 'ship', '--once')
    await box(`cd ${home}; cp -a backups other; cp -a backups newer
echo >> other/repository/archive/everyskill/archive.info; mkdir newer/repository/backup/everyskill/20990101-000000F`)
    for (const [dir, told] of [
      ['other', /holds the backups of another database/],
      ['newer', /holds the backup 20990101-000000F, which this server does not know/],
    ] as const) {
      const had = await digest(dir)
      const { code, stderr } = await ship(dir)
      assert.is(code, 3, stderr)
      assert.match(stderr, told)
      assert.is(await digest(dir), had)
    }
  })
})
