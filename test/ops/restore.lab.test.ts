/** Any second back: into a scratch database, a schema beside the live table, or the live one's place. */
import { setTimeout as sleep } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import { describe, kills } from '../describe.ts'
import { begin, sometime } from '../lab/begin.ts'
import { open } from '../lab/browser.ts'
import { loud } from '../lab/cron.ts'
import { until } from '../lab/shell.ts'
import { sql } from '../lab/sql.ts'
import type { World } from '../lab/world.ts'
import { backedUp, bad, good, postgresId, shipAll } from './backup-helpers.ts'
import { whileLocked } from './deploy-helpers.ts'

const markers = 60
const data = '/var/lib/docker/volumes/everyskill_postgres_data/_data'

describe('a restore of any second', { timeout: 300_000 }, ({ test, before, after }) => {
  let world: World
  let host = ''
  /** For each marker row, milliseconds before and after its commit. */
  let commits: [number, number][] = []
  const restore = (...args: string[]) => good(world, 'restore', ...args)
  const inPlace = (at: Date) => ['--in-place', '--at', at.toISOString(), '--confirm', host]
  const rows = () => sql(world, 'select count(*), max(id) from restore_marker')
  const whole = `${markers}|${markers}`
  const kept = async () =>
    JSON.parse(await restore('list', '--json')).kept.map((one: { name: string }) => one.name) as string[]
  const discardAll = async () => {
    for (const name of await kept()) await restore('--discard', name, '--confirm', name)
  }

  /** A moment at which it is certain which markers were committed, and how many were. */
  function someMoment(): { at: Date; rows: number } {
    const [first, last] = [commits[0] as [number, number], commits.at(-1) as [number, number]]
    for (;;) {
      const at = Math.floor(first[1] + Math.random() * (last[0] - first[1]))
      // A commit counts when its time is the moment itself; the margin is for the rounding to milliseconds.
      if (!commits.some(([start, end]) => at >= start - 2 && at <= end + 2))
        return { at: new Date(at), rows: commits.filter(([, end]) => end < at).length }
    }
  }

  before(
    async () => {
      world = await backedUp()
      host = world.server.address
      await discardAll()
      await sql(
        world,
        'drop table if exists restore_marker, restore_after; create table restore_marker (id int primary key, created_at timestamptz); create table restore_after (id int primary key, at timestamptz)',
      )
      const writing = sql(
        world,
        `do $$ begin for i in 1 .. ${markers} loop
  insert into restore_marker values (i, clock_timestamp()); commit;
  insert into restore_after values (i, clock_timestamp()); commit;
  perform pg_sleep(0.2);
end loop; end $$`,
      )
      // One that ends among the markers: some moments are reached from it, the earlier ones from the full one.
      await sleep(1500)
      await Promise.all([writing, good(world, 'backup', 'incr')])
      await shipAll(world)
      const times = await sql(
        world,
        'select extract(epoch from created_at) * 1000, extract(epoch from at) * 1000 from restore_marker join restore_after using (id) order by id',
      )
      commits = times.split('\n').map((line) => line.split('|').map(Number) as [number, number])
    },
    { timeout: 900_000 },
  )
  after(async () => {
    // Where a test failed half way the next file needs a database all the same.
    await world.server.exec(`cd ${data}; if [ ! -f pgdata/PG_VERSION ] && [ -d restoring ]; then
  docker stop $(${postgresId}); rm -rf pgdata; mv restoring pgdata; docker start $(${postgresId}); fi`)
    await until('the database', 60, () => sql(world, 'select 1').catch(() => undefined))
    await sql(world, 'drop table if exists restore_marker, restore_after')
    await loud(world)
  })

  test('brings exactly the rows that were committed, at 10 random moments', async () => {
    for (let i = 0; i < 10; i++) {
      const { at, rows } = someMoment()
      // The box's copy is put to the same test in ship.lab.test.ts and disaster.lab.test.ts.
      const from = i < 3 ? 'box' : 'local'
      const words = ['--table', 'restore_marker', '--at', at.toISOString(), '--from', from, '--json']
      const out = await restore(...words)
      const { table, rows: told } = JSON.parse(out) as { table: string; rows: number }
      const found = await sql(world, `select count(*), coalesce(max(id), 0) from ${table}`)
      await sql(world, `drop schema ${table.split('.')[0]} cascade`)
      console.log(`${at.toISOString()}: ${found}, expected ${rows}`)
      assert.is(found, `${rows}|${rows}`, `${at.toISOString()}`)
      assert.is(told, rows)
    }
    assert.is(await rows(), whole)
  })

  test('refuses a moment that it cannot reach, and one without a zone, and a backup that is not there', async () => {
    const before = await bad(3, 'restore', '--at', '2001-01-01T00:00:00Z')
    assert.match(before.stderr, /cannot be reached: any second from \d{4}-.* can/)
    const future = new Date(Date.now() + 3_600_000).toISOString()
    assert.match((await bad(3, 'restore', '--at', future)).stderr, /cannot be reached: any second from/)
    const zoneless = await bad(2, 'restore', '--at', new Date().toISOString().replace('Z', ''))
    assert.match(zoneless.stderr, /a moment with its time zone/)
    const unknown = await bad(3, 'restore', '--set', '20010101-000000F')
    assert.match(unknown.stderr, /there is no backup 20010101-000000F/)
  })

  test('with --dry-run prints its commands and changes nothing', async () => {
    const containers = () => world.server.exec('docker ps -aq --no-trunc | sort')
    const before = await containers()
    const { at } = someMoment()
    for (const words of [
      [],
      ['--at', at.toISOString()],
      ['--table', 'restore_marker', '--at', at.toISOString()],
    ]) {
      const out = await restore(...words, '--dry-run')
      assert.match(out, /^\[10\.88\.0\.10\] .*docker run -d --name 'everyskill-scratch'/ms, words.join(' '))
    }
    assert.match(await restore(...inPlace(at), '--dry-run'), /mv -T "\$data\/restoring"|mv -T "\$data\/"/)
    assert.is(await containers(), before)
    assert.equal(await kept(), [])
    assert.is(await rows(), whole)
  })

  test('brings a dropped table back beside the live ones, and touches nothing else', async () => {
    await sql(
      world,
      'drop table if exists restore_gone, "restore_Other"; create table "restore_Other" as select generate_series(1, 2) i; create table restore_gone (id int primary key references restore_marker, body text); create index on restore_gone (body); insert into restore_gone select i, \'row \' || i from generate_series(1, 50) i',
    )
    const at = new Date(Date.now() + 50)
    await sleep(100)
    await sql(world, 'drop table restore_gone, "restore_Other"')
    await shipAll(world)
    const { table, rows: told } = JSON.parse(
      await restore('--table', 'restore_gone', '--at', at.toISOString(), '--json'),
    )
    assert.is(told, 50)
    assert.is(await sql(world, `select count(*), min(body), max(id) from ${table}`), '50|row 1|50')
    const again = ['--table', '"restore_Other"', '--at', at.toISOString()] as const
    assert.match(await restore(...again), /^restored_\w+\."restore_Other": 2 rows$/m)
    assert.match((await bad(3, 'restore', ...again)).stderr, /is there already: drop table restored_/)
    const indexes = `select count(*) from pg_indexes where schemaname || '.' || tablename = '${table}'`
    assert.is(await sql(world, indexes), '2')
    assert.is(await sql(world, "select to_regclass('public.restore_gone') is null"), 't')
    assert.is(await rows(), whole)
    await sql(world, `drop schema ${table.split('.')[0]} cascade`)
  })

  test('waits for no deploy: it is refused while one runs, and leaves the database as it is', async () => {
    const [moment] = commits.at(-1) as [number, number]
    await whileLocked(world, 'deploy', 'eve@desk, for: deploy', async () => {
      const { stderr } = await bad(4, 'restore', ...inPlace(new Date(moment)))
      assert.match(stderr, /is held by eve@desk, for: deploy/)
    })
    assert.equal(await kept(), [])
  })

  test(`killed in place ${kills} times at any moment it loses nothing: the same call goes through, --undo goes back, --discard forgets`, {
    timeout: 240_000 + kills * 60_000,
  }, async () => {
    const moment = someMoment()
    for (let i = 0; i < kills; i++) {
      const { done, kill } = begin(world.env, ['restore', ...inPlace(moment.at)])
      await sometime(1000, 14_000)
      kill()
      // Half of the times what it had begun on the server dies too, as with a lost connection; else it goes on alone.
      if (i % 2 === 0)
        await world.server.exec(
          "for pid in $(pgrep -f '^(timeout -k 5 [0-9]+ )?bash -euo pipefail -c '); do [ $pid = $$ ] || kill -KILL $pid || true; done",
        )
      const { stderr } = await done
      console.log(`kill ${i}: after ${stderr.trim().split('\n').at(-1)}`)
      await neverEmpty(moment.rows)
    }
    await restore(...inPlace(moment.at))
    assert.is(await rows(), `${moment.rows}|${moment.rows}`)
    await answers()
    await world.server.exec(`docker stop $(${postgresId}); cd ${data}; mv pgdata restoring`)
    await refusesToBegin()
    assert.match(await good(world, 'backup', 'list'), /^Physical\nLABEL/, 'it needs no database')
    await restore('--undo', '--confirm', host)
    assert.ok([whole, `${moment.rows}|${moment.rows}`].includes(await rows()))
    await answers()
    const there = await kept()
    assert.ok(there.length > 0)
    await discardAll()
    assert.equal(await kept(), [])
    await world.server.exec(`rm -rf ${data}/restoring`)
  })

  /** What is live is the whole database, or the restored one; or there is none and it does not start anew. */
  async function neverEmpty(restored: number): Promise<void> {
    const idle =
      'exec 8>> /run/lock/everyskill-backup.work; flock -w 60 8; for l in deploy backup restore; do flock -w 60 /run/lock/everyskill-$l.lock true; done'
    await world.server.exec(idle)
    const running = await world.server.exec(`docker inspect -f '{{.State.Running}}' $(${postgresId})`)
    if (running !== 'true')
      return void (await world.server.exec(`[ -d ${data}/pgdata -o -d ${data}/restoring ]`))
    const found = await until('the database', 60, () => rows().catch(() => undefined))
    assert.ok([whole, `${restored}|${restored}`].includes(found), found)
  }

  /** Between the two renames there is no cluster: a start, as after a power cut, must not make a new one. */
  async function refusesToBegin(): Promise<void> {
    await world.server.exec(`docker start $(${postgresId})`)
    const refused = `docker logs --tail 100 $(${postgresId}) 2>&1 | grep -E 'a restore was cut short|could not create directory'`
    const told = () =>
      world.server.exec(refused).then(
        () => true as const,
        () => undefined,
      )
    await until('the entrypoint to refuse a new database', 30, told)
    await world.server.exec(`[ ! -f ${data}/pgdata/PG_VERSION ]`)
  }

  async function answers(): Promise<void> {
    assert.is((await open(world, world.domain, '/api/health')).status, 200)
  }
})
