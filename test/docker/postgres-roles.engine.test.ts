/** A new database, made by the image of docker/Dockerfile.postgres under the limits of the Compose file. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { describe } from '../describe.ts'
import { $, text, until } from '../lab/shell.ts'
import { build, cipherPass, World } from './world.ts'

const ADMIN = 'admin-password-0123456789'
const APP = "app-password-0123456789-'quoted'"

describe('a new database', { timeout: 120_000 }, ({ test, before, after }) => {
  let world: World
  before(
    async () => {
      await build('postgres')
      world = new World()
      world.write('env/postgres/db_password', `${ADMIN}\n`, 999)
      world.write('env/postgres/db_app_password', `${APP}\n`, 999)
      const { ok, stderr } = await world.compose(['up', '--detach', '--wait', 'postgres'])
      assert.ok(ok, stderr)
    },
    { timeout: 600_000 },
  )
  after(() => world.remove())

  const psql = ['psql', '--no-psqlrc', '-qAtX', '-v', 'ON_ERROR_STOP=1']

  /** Logs in over TCP, with the password. */
  const as = (role: string, password: string, sql: string) => {
    const login = `IFS= read -r PGPASSWORD; export PGPASSWORD; exec ${psql.join(' ')} -h 127.0.0.1 -U "$1" everyskill`
    const command = ['exec', '-T', 'postgres', 'bash', '-c', login, 'bash', role]
    return world.compose(command, { input: `${password}\n${sql}\n` })
  }
  /** As the administrator, over the socket. */
  const admin = async (sql: string) => {
    const { ok, stdout, stderr } = await world.compose(
      ['exec', '-T', 'postgres', ...psql, '-U', 'postgres', 'everyskill'],
      { input: sql },
    )
    assert.ok(ok, stderr)
    return stdout.trim()
  }

  test('the app logs in as a role without power and becomes the owner', async () => {
    const { stdout, stderr } = await as('everyskill_a', APP, 'select session_user, current_user')
    assert.is(stdout.trim(), 'everyskill_a|everyskill', stderr)
    const power = 'rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls'
    const roles = await admin(
      `select rolname, ${power}, rolcanlogin from pg_roles where rolname ~ '^everyskill' order by 1`,
    )
    assert.equal(roles.split('\n'), ['everyskill|f|f', 'everyskill_a|f|t', 'everyskill_b|f|f'])
    for (const sql of ['create role mallory', 'create database d', 'copy (select 1) to program $$id$$']) {
      assert.match((await as('everyskill_a', APP, sql)).stderr, /permission denied/, sql)
    }
  })

  test('what the app makes belongs to everyskill, so the other seat can take over', async () => {
    const { ok, stderr } = await as(
      'everyskill_a',
      APP,
      'create table made (id int primary key, v vector(3)); insert into made values (1, $$[1,2,3]$$)',
    )
    assert.ok(ok, stderr)
    assert.is(await admin("select tableowner from pg_tables where tablename = 'made'"), 'everyskill')
    assert.match((await as('everyskill_b', APP, 'select 1')).stderr, /authentication failed/)
    await admin("alter role everyskill_b login password 'another-password-for-b'")
    const other = await as('everyskill_b', 'another-password-for-b', 'alter table made add n int; table made')
    assert.is(other.stdout.trim(), '1|[1,2,3]|', other.stderr)
    await admin('alter role everyskill_b nologin')
    const closed = await as('everyskill_b', 'another-password-for-b', 'select 1')
    assert.match(closed.stderr, /not permitted to log in/)
  })

  test('nobody gets in with a wrong password, and the owner not at all', async () => {
    for (const [role, password] of [
      ['everyskill_a', 'wrong'],
      ['everyskill_a', ADMIN],
      ['postgres', 'placeholder'],
      ['everyskill', APP],
    ] as const) {
      assert.match((await as(role, password, 'select 1')).stderr, /password authentication failed/, role)
    }
    assert.is((await as('postgres', ADMIN, 'select current_user')).stdout.trim(), 'postgres')
    assert.not.match(await admin('select auth_method from pg_hba_file_rules'), 'trust')
    const kinds = await admin(
      'select distinct left(rolpassword, 13) from pg_authid where rolpassword is not null',
    )
    assert.is(kinds, 'SCRAM-SHA-256')
  })

  test('has data checksums and the vector extension', async () => {
    assert.is(await admin('show data_checksums'), 'on')
    assert.is(await admin("select count(*) from pg_extension where extname = 'vector'"), '1')
  })

  test('archives its WAL, encrypted, and lies in a folder of its volume', async () => {
    const pgbackrest = (...words: string[]) =>
      world.compose(['exec', '-T', 'postgres', 'pgbackrest', '--stanza=everyskill', ...words])
    for (const word of ['stanza-create', 'check']) {
      const { ok, stderr } = await pgbackrest(word)
      assert.ok(ok, `${word}: ${stderr}`)
    }
    assert.is(await admin('show data_directory'), '/var/lib/postgresql/data/pgdata')
    assert.is(
      await admin(
        'select archived_count > 0, last_failed_time is null or last_archived_time > last_failed_time from pg_stat_archiver',
      ),
      't|t',
    )
    const archive = join(world.folder, 'repository/archive/everyskill')
    const files = readdirSync(archive, { recursive: true, withFileTypes: true }).filter((one) => one.isFile())
    const contents = files.map((one) => readFileSync(join(one.parentPath, one.name)))
    assert.ok(
      files.some(({ name }) => /^[0-9A-F]{24}-[0-9a-f]{40}/.test(name)),
      files.map(({ name }) => name).join(),
    )
    // OpenSSL's way to begin what a passphrase encrypts.
    for (const content of contents) assert.is(content.subarray(0, 8).toString(), 'Salted__')
  })

  test('has no password in its log, in what inspect shows, or in a process', async () => {
    const id = await world.container('postgres')
    const log = await world.compose(['logs', 'postgres'])
    const seen = [log.stdout, log.stderr, await text($`docker inspect ${id}`)]
    const script = 'cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr "\\0" "\\n"'
    seen.push((await world.compose(['exec', '-T', 'postgres', 'sh', '-c', script])).stdout)
    assert.match(seen.join(), 'POSTGRES_PASSWORD=placeholder', 'the search sees the environment')
    for (const secret of [ADMIN, APP, cipherPass]) assert.not(seen.join().includes(secret))
  })

  test('comes back with its data', async () => {
    await admin('create table if not exists kept (); checkpoint')
    const { ok, stderr } = await world.compose(['up', '--detach', '--wait', '--force-recreate', 'postgres'])
    assert.ok(ok, stderr)
    assert.is(await admin("select count(*) from pg_tables where tablename = 'kept'"), '1')
  })
})

describe('a database whose roles could not be made', { timeout: 120_000 }, ({ test, before, after }) => {
  let world: World
  before(() => {
    world = new World()
    world.write('env/postgres/db_password', ADMIN, 999)
    world.write('env/postgres/db_app_password', '', 999)
  })
  after(() => world.remove())

  test('says so, and never serves', async () => {
    await world.compose(['up', '--detach', 'postgres'])
    // The second is what the start after the failed one says.
    for (const sign of ['remove the volume and start again', 'exists but is not empty']) {
      await until(`'${sign}'`, 60, async () => {
        const { stdout } = await world.compose(['logs', 'postgres'])
        return stdout.includes(sign) ? true : undefined
      })
    }
  })
})
