import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { describe, kills } from '../describe.ts'
import { attempted, begin, sometime } from '../lab/begin.ts'
import { loud, quiet } from '../lab/cron.ts'
import { boxBackups, deployed } from '../lab/deployed.ts'
import { sql } from '../lab/sql.ts'
import type { World } from '../lab/world.ts'

const boxDumps = `${boxBackups}/dumps`

describe('a restore of a dump', { timeout: 300_000 }, ({ test, before, after }) => {
  let world: World
  let scratch = ''
  let host = ''
  let label = ''
  const run = (...args: string[]) => attempted(world.env, ['restore-dump', ...args])
  const good = async (...args: string[]) => {
    const { code, stdout, stderr } = await run(...args)
    assert.is(code, 0, stderr)
    return stdout
  }
  const inPlace = () => ['--in-place', '--confirm', host]
  const notes = () => sql(world, 'select count(*), min(note) from restore_probe')

  // What a killed run began on the server ends there. A session that arrives while the names change is turned away, and one
  // of the old database is ended; both say so, and find one of the two when they come again.
  const notesAfterKill = async () => {
    const turnedAway = /just been dropped or renamed|terminating connection due to administrator command/
    for (const end = Date.now() + 15_000; ; await sometime(100, 200)) {
      try {
        return await notes()
      } catch (error) {
        if (!turnedAway.test(String(error)) || Date.now() > end) throw error
      }
    }
  }
  const kept = async () =>
    JSON.parse(await good('list', '--json')).kept.map((one: { name: string }) => one.name) as string[]
  const discardAll = async () => {
    for (const name of await kept()) await good('--discard', name, '--confirm', name)
  }
  const containers = () =>
    world.server.exec("docker ps -a --format '{{.Names}}' --filter label=everyskill.scratch=true")
  /** Owner, grants and settings of the live database. */
  const nature = () =>
    sql(
      world,
      "select pg_get_userbyid(datdba), datacl, datallowconn, datcollate, (select string_agg(setrole::regrole || setconfig::text, ';' order by 1) from pg_db_role_setting where setdatabase = d.oid) from pg_database d where datname = 'everyskill'",
    )
  const alarm = () => sql(world, "update restore_probe set note = 'after the backup'")

  before(
    async () => {
      world = await deployed()
      // Cron's backup would hold the lock that a restore needs.
      await quiet(world)
      scratch = mkdtempSync(join(tmpdir(), 'restore-test-'))
      host = /^SERVER_HOST=(.*)$/m.exec(readFileSync(world.env, 'utf8'))?.[1] as string
      await sql(
        world,
        `drop table if exists restore_probe; create table restore_probe (id int primary key, note text, created_at timestamptz default now()); alter table restore_probe owner to everyskill; insert into restore_probe select i, 'before the backup' from generate_series(1, 5000) i; alter database everyskill set statement_timeout = '30min'`,
      )
      const { code, stdout, stderr } = await attempted(world.env, ['backup', 'dump', '--json'])
      assert.is(code, 0, stderr)
      label = /^\d{8}T\d{6}Z/.exec(JSON.parse(stdout)[0])?.[0] as string
    },
    { timeout: 1_000_000 },
  )
  after(async () => {
    await discardAll()
    await sql(world, 'drop table if exists restore_probe; alter database everyskill reset statement_timeout')
    rmSync(scratch, { recursive: true, force: true })
    await loud(world)
  })

  test('goes into a scratch container by default, compares equal, and leaves nothing', async () => {
    await alarm()
    const result = JSON.parse(await good('--json'))
    assert.equal([result.label, result.ok, result.restored['public.restore_probe']], [label, true, 5000])
    assert.ok(Date.now() - Date.parse(result.newestRow) < 600_000, result.newestRow)
    assert.is(await containers(), '')
    assert.is(await notes(), '5000|after the backup', 'the live database is as it was')
    const { dumps } = JSON.parse((await attempted(world.env, ['backup', 'list', '--json'])).stdout)
    assert.ok(dumps.at(-1).proven.restored)
  })

  test("works from the server's own copy, and by name", async () => {
    assert.match(await good(label, '--from', 'server'), /restore_probe +5000 +5000/)
    const unknown = await run('20200101T000000Z')
    assert.is(unknown.code, 2, unknown.stderr)
  })

  test('in place asks for the name of the server first', async () => {
    const unasked = await run('--in-place')
    assert.is(unasked.code, 3, unasked.stderr)
    assert.match(unasked.stderr, new RegExp(`--confirm ${host}`))
    assert.is((await run('--in-place', '--confirm', 'another')).code, 3)
    assert.is(await notes(), '5000|after the backup')
  })

  test('in place brings back what was lost, keeps what was live, and can be undone and redone', async () => {
    const before = await nature()
    await sql(world, 'drop table restore_probe')
    await good(...inPlace())
    assert.is(await notes(), '5000|before the backup')
    assert.is(await nature(), before)
    assert.is(
      await sql(world, "select pg_get_userbyid(relowner) from pg_class where relname = 'restore_probe'"),
      'everyskill',
    )
    const [old = ''] = await kept()
    assert.match(old, /^everyskill_before_/)
    await good('--undo', '--confirm', host)
    assert.is(await sql(world, "select count(*) from pg_class where relname = 'restore_probe'"), '0')
    await good('--undo', '--confirm', host)
    assert.is(await notes(), '5000|before the backup')
    const [name = ''] = await kept()
    assert.is((await run('--discard', name)).code, 3)
    assert.is((await run('--discard', 'everyskill', '--confirm', 'everyskill')).code, 3)
    await discardAll()
    assert.equal(await kept(), [])
    assert.is((await run('--undo', '--confirm', host)).code, 3)
  })

  test('brings back a database that is gone altogether', async () => {
    await sql(world, 'drop database everyskill with (force)', 'postgres')
    await good(...inPlace())
    assert.is(await notes(), '5000|before the backup')
    assert.is(
      await sql(world, "select pg_get_userbyid(datdba) from pg_database where datname = 'everyskill'"),
      'everyskill',
    )
    await sql(
      world,
      "revoke all on database everyskill from public; alter database everyskill set statement_timeout = '30min'",
    )
    await discardAll()
  })

  test('of a file that is truncated, altered or for another key is refused with 6, and nothing is touched', async () => {
    const file = `${boxDumps}/${label}/database.dump.gpg`
    const manifest = `${boxDumps}/${label}/manifest.json`
    const rewrite = `hash=$(sha256sum < ${file} | cut -d ' ' -f 1); old=$(grep -m 1 -o '[0-9a-f]\\{64\\}' ${manifest}); sed -i "s/$old/$hash/" ${manifest}`
    const harms = {
      truncated: `truncate -s -1 ${file}`,
      altered: `printf X | dd of=${file} bs=1 seek=900 conv=notrunc status=none`,
      'altered, and its manifest with it': `printf XXXX | dd of=${file} bs=1 seek=2000 conv=notrunc status=none; ${rewrite}`,
      'truncated, and its manifest with it': `truncate -s 3000 ${file}; ${rewrite}`,
    }
    await sql(world, "update restore_probe set note = 'untouched'")
    for (const [name, harm] of Object.entries(harms)) {
      await world.storagebox.exec(`cp -p ${file} /tmp/dump; cp -p ${manifest} /tmp/manifest; ${harm}`)
      const { code, stderr } = await run(...inPlace())
      await world.storagebox.exec(`cp -p /tmp/dump ${file}; cp -p /tmp/manifest ${manifest}`)
      assert.is(code, 6, `${name}: ${stderr}`)
      assert.match(stderr, /truncated or altered/, name)
      assert.match(stderr, /Nothing was touched/, name)
    }
    const home = join(scratch, 'empty')
    const env = join(scratch, 'other.env')
    const text = readFileSync(world.env, 'utf8').replace(
      /^BACKUP_GPG_HOMEDIR=.*$/m,
      `BACKUP_GPG_HOMEDIR=${home}`,
    )
    writeFileSync(env, text, { mode: 0o600 })
    mkdirSync(home, { mode: 0o700 })
    const { code, stderr } = await attempted(env, ['restore-dump', ...inPlace()])
    assert.is(code, 6, stderr)
    assert.match(stderr, /the key here does not open it/)
    assert.is(await notes(), '5000|untouched')
    assert.equal(await kept(), [])
  })

  test(`killed at any moment leaves a live database, whole: the old or the new one (${kills} times)`, {
    timeout: 400_000 + kills * 90_000,
  }, async () => {
    for (let i = 0; i < kills; i++) {
      await sql(world, "update restore_probe set note = 'live'")
      const killed = begin(world.env, ['restore-dump', ...inPlace()])
      await sometime(1000, 10_000)
      killed.kill()
      await killed.done
      assert.match(await notesAfterKill(), /^5000\|(live|before the backup)$/)
    }
    await good(...inPlace())
    assert.is(await notes(), '5000|before the backup')
    assert.not.match((await kept()).join(), /_restore_/, 'what killed runs left is gone')
    await discardAll()
  })

  test(`the swap itself, killed on the server with everything it started, is whole or not at all (${kills} times)`, {
    timeout: 400_000 + kills * 90_000,
  }, async () => {
    let [hits, tries] = [0, 0]
    while (hits < kills) {
      assert.ok(
        ++tries <= 5 * kills,
        `${hits} of ${tries} were killed before they were over: too few to prove it`,
      )
      await sql(world, "update restore_probe set note = 'live'")
      const killed = begin(world.env, ['restore-dump', ...inPlace()])
      let over = false
      killed.done.then(() => {
        over = true
      })
      // The server itself looks each 10 ms: a look from here takes longer than the swap.
      const swapping = sql(
        world,
        `do $$ begin for i in 1 .. 6000 loop
  perform pg_stat_clear_snapshot();
  exit when exists (select from pg_stat_activity where query ~ 'rename|analyze' and pid <> pg_backend_pid());
  perform pg_sleep(0.01);
end loop; end $$`,
        'postgres',
      ).catch(() => 'ended with the other sessions')
      await Promise.race([swapping, killed.done])
      await sometime(0, 500)
      if (!over) hits++
      await world.server.exec("pkill -KILL -f '[p]sql -X -q' || true")
      killed.kill()
      await killed.done
      assert.match(await notesAfterKill(), /^5000\|(live|before the backup)$/)
      assert.is(
        await sql(world, "select datallowconn from pg_database where datname = 'everyskill'", 'postgres'),
        't',
      )
    }
    await good(...inPlace())
    await discardAll()
  })

  test('into a scratch container, killed, leaves one that the next run removes', async () => {
    const killed = begin(world.env, ['restore-dump'])
    const end = Date.now() + 60_000
    while ((await containers()) === '' && Date.now() < end) await sometime(50, 100)
    killed.kill()
    await killed.done
    assert.is(await containers(), 'everyskill-scratch')
    await good()
    assert.is(await containers(), '')
  })

  test('never leaves plaintext or ciphertext on the operator', async () => {
    const temporary = mkdtempSync(join(scratch, 'tmp-'))
    const folders = () => readdirSync(temporary).filter((name) => name.startsWith('everyskill-'))
    const seen = new Set<string>()
    const watching = setInterval(() => {
      for (const name of folders()) seen.add(name)
    }, 50)
    process.env.TMPDIR = temporary
    try {
      await good()
    } finally {
      delete process.env.TMPDIR
      clearInterval(watching)
    }
    assert.ok(seen.size > 0, 'its folders are made here')
    assert.equal(folders(), [])
  })
})
