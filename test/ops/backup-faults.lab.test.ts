/** Backups that are cut short, raced, damaged or misled: the next one works, and what is listed restores. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { describe, kills } from '../describe.ts'
import { attempted, begin, sometime } from '../lab/begin.ts'
import { loud } from '../lab/cron.ts'
import { boxBackups } from '../lab/deployed.ts'
import { $, text, until } from '../lab/shell.ts'
import { sql } from '../lab/sql.ts'
import type { World } from '../lab/world.ts'
import {
  backedUp,
  gaps,
  good,
  goodWith,
  type Listed,
  listed,
  postgresId,
  shipAll,
  start,
  whileWritten,
} from './backup-helpers.ts'
import { envWith } from './deploy-helpers.ts'

describe('a backup that meets with faults', { timeout: 300_000 }, ({ test, before, after }) => {
  let world: World
  let scratch = ''
  const list = () => listed(world)
  const newest = async () => (await list()).at(-1) as Listed
  const box = (script: string) => world.storagebox.exec(script)

  before(
    async () => {
      world = await backedUp()
      scratch = mkdtempSync(join(tmpdir(), 'faults-test-'))
    },
    { timeout: 900_000 },
  )
  after(async () => {
    await box('rm -rf /box/everyskill/damaged')
    await sql(world, 'drop table if exists written_a, written_b')
    rmSync(scratch, { recursive: true, force: true })
    await loud(world)
  })

  test(`killed at any moment, ${kills} times: the next one works, and every listed one restores`, {
    timeout: 120_000 + kills * 60_000,
  }, async () => {
    const had = new Set((await list()).map((one) => one.label))
    for (let i = 0; i < kills; i++) {
      const { done, kill } = begin(world.env, ['backup', i % 3 === 2 ? 'full' : 'incr'])
      await sometime(500, 7000)
      kill()
      const { stderr } = await done
      console.log(`kill ${i}: after ${stderr.trim().split('\n').at(-1) ?? 'nothing'}`)
    }
    await good(world, 'backup', 'incr')
    const made = (await list()).filter((one) => !had.has(one.label))
    assert.ok(made.length > 0)
    for (const { label } of made) await good(world, 'restore', '--from', 'local', '--set', label)
    await good(world, 'backup', 'verify')
  })

  test('is one at a time: of two at once the second is refused with 4', async () => {
    const both = ['incr', 'incr'].map((job) => attempted(world.env, ['backup', job]))
    const codes = (await Promise.all(both)).map(({ code }) => code).sort()
    assert.equal(codes, [0, 4])
  })

  test('waits for the pgBackRest that archives WAL right now', async () => {
    const lock = '/tmp/pgbackrest/everyskill-archive-1.lock'
    const holder = world.server.exec(
      `docker exec -u postgres $(${postgresId}) flock ${lock} sleep 12 && date +%s`,
    )
    await until('the lock', 10, async () => {
      const held = await world.server.exec(
        `docker exec -u postgres $(${postgresId}) flock -n -E 9 ${lock} true || echo held`,
      )
      return held === 'held' ? true : undefined
    })
    await good(world, 'backup', 'incr')
    const ended = Date.now()
    assert.ok(Number(await holder) * 1000 <= ended, 'the lock was held until then')
  })

  test('goes on after a crash of the server while it and the shipping ran and the database was written', async () => {
    const { value: acknowledged, rows } = await whileWritten(world, async () => {
      const running = [start(world, 'backup', 'full'), start(world, 'backup', 'ship')]
      await sometime(1500, 6000)
      const counted = Number(await sql(world, 'select count(*) from written_a'))
      await world.server.crash()
      for (const { kill, done } of running) {
        kill()
        await done
      }
      await world.server.start()
      await until('the database', 90, () => sql(world, 'select 1').catch(() => undefined))
      return counted
    })
    assert.ok(rows >= acknowledged, `${rows} of ${acknowledged}`)
    const same = 'select count(*), max(a.id), count(b.id) from written_a a full join written_b b using (id)'
    assert.is(await sql(world, same), `${rows}|${rows}|${rows}`)
    await good(world, 'backup', 'incr')
    await shipAll(world)
    assert.equal(await gaps(world), [])
    assert.match(await good(world, 'backup', 'drill'), /pass, \S+ of/)
  })

  const flip =
    'f="$1" perl -e \'open my $h, "+<", $ENV{f} or die $!; my $at = int((-s $h) / 2); seek $h, $at, 0; read $h, my $c, 1; seek $h, $at, 0; print $h chr(ord($c) ^ 1)\''
  const damages = {
    'a flipped byte in the WAL': { file: 'wal', how: flip },
    'truncated WAL': { file: 'wal', how: 'truncate -s 1000 "$1"' },
    'a missing segment': { file: 'wal', how: 'rm "$1"' },
    'a flipped byte in a backup': { file: 'backup', how: flip },
  }
  for (const [what, { file, how }] of Object.entries(damages)) {
    test(`is found out by the drill with 6 when the box has ${what}; the server's own copy still restores`, async () => {
      const { needs, wal, label } = await newest()
      const record = `${boxBackups}/manifests/${label}.json`
      await shipAll(world)
      const point = JSON.parse(await box(`cat ${record}`)).wal.point as string
      const path =
        file === 'wal'
          ? `$(find damaged/repository/archive -name '${point ?? wal.stop}-*')`
          : `$(find damaged/repository/backup/everyskill/${needs[0]} -type f -name '[0-9]*' -printf '%s %p\\n' | sort -n | tail -n 1 | cut -d ' ' -f 2)`
      await box(
        `cd /box/everyskill; rm -rf damaged; cp -a backups damaged; set -- ${path}; [ -f "$1" ]; ${how}`,
      )
      const env = envWith(world, join(scratch, 'damaged.env'), { STORAGEBOX_DIR: 'damaged' })
      const { code, stderr } = await attempted(env, ['backup', 'drill'])
      console.log(`${what}: ${code} ${stderr.trim()}`)
      assert.is(code, 6, stderr)
      if (how === flip) await goodWith(env, 'restore', '--from', 'local')
    })
  }

  test('says so when the passphrase is another one, and archives on when it is right again', async () => {
    const file = '/opt/everyskill/env/pgbackrest/cipher.conf'
    await world.server.exec(
      `cp -p ${file} ${file}.right; sed -i 's/^repo1-cipher-pass=.*/repo1-cipher-pass=not-the-right-one/' ${file}; ! cmp -s ${file} ${file}.right`,
    )
    try {
      const { code, stderr } = await attempted(world.env, ['restore'])
      assert.ok(code === 6 || code === 3, `${code}: ${stderr}`)
      assert.match(stderr, /passphrase|decrypt|cipher/i)
      const made = await attempted(world.env, ['backup', 'incr'])
      assert.ok(made.code !== 0)
    } finally {
      await world.server.exec(`cat ${file}.right > ${file}; rm ${file}.right`)
    }
    await good(world, 'backup', 'incr')
    assert.equal(await gaps(world), [])
  })

  for (const days of ['+2', '-2']) {
    test(`bears a clock of ours that jumps by ${days} days`, async () => {
      // Our scripts' clock, and that of the programs they start here; the server's own goes on.
      const LD_PRELOAD = await text($`faketime -f ${`${days}d`} printenv LD_PRELOAD`)
      const before = (await newest()).label
      Object.assign(process.env, { LD_PRELOAD, FAKETIME: `${days}d` })
      try {
        await good(world, 'backup', 'incr')
        await attempted(world.env, ['backup', 'status'])
      } finally {
        delete process.env.LD_PRELOAD
        delete process.env.FAKETIME
      }
      await good(world, 'backup', 'incr')
      assert.ok(
        (await list()).some((one) => one.label === before),
        'the clock made a backup be forgotten',
      )
      const { restored } = JSON.parse(await good(world, 'restore', '--from', 'local', '--json'))
      assert.ok(restored.includes((await newest()).label), restored)
    })
  }
})
