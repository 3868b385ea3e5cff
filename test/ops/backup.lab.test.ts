import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { describe, kills } from '../describe.ts'
import { attempted, begin, sometime } from '../lab/begin.ts'
import { asCron, loud, quiet } from '../lab/cron.ts'
import { boxBackups, deployed } from '../lab/deployed.ts'
import { ops } from '../lab/ops.ts'
import { $, $try, text, until } from '../lab/shell.ts'
import { sql } from '../lab/sql.ts'
import type { World } from '../lab/world.ts'
import { whileLocked } from './deploy-helpers.ts'

const backups = '/var/backups/everyskill'
const dumps = `${backups}/dumps`
const boxDumps = `${boxBackups}/dumps`
const boxSets = `${boxBackups}/repository/backup/everyskill`

interface Entry {
  label: string
  server: boolean
  box: boolean
  rows: number | null
  proven: Record<string, string>
}
interface Listed {
  physical: { label: string; type: string }[]
  dumps: Entry[]
  files: Entry[]
}

describe('a backup', { timeout: 300_000 }, ({ test, before, after }) => {
  let world: World
  let scratch = ''
  /** The Postgres image of the server, or what it is built on here. */
  let postgres = ''
  const run = (...args: string[]) => attempted(world.env, ['backup', ...args])
  const good = async (...args: string[]) => {
    const { code, stdout, stderr } = await run(...args)
    assert.is(code, 0, stderr)
    return stdout
  }
  const everything = async (): Promise<Listed> => JSON.parse(await good('list', '--json'))
  const list = async () => (await everything()).dumps
  const newest = async () => (await list()).at(-1) as Entry
  const sets = async () => (await everything()).physical
  const names = (dir: string, machine = world.server) => machine.exec(`ls ${dir} 2> /dev/null || true`)
  /** A copy of the lab's .env with some values changed. */
  const otherEnv = (changes: Record<string, string>) => {
    const lines = readFileSync(world.env, 'utf8').split('\n')
    const kept = lines.filter((line) => !Object.hasOwn(changes, line.split('=')[0] ?? ''))
    const file = join(scratch, 'other.env')
    const added = Object.entries(changes).map(([name, value]) => `${name}=${value}`)
    writeFileSync(file, `${[...kept, ...added].join('\n')}\n`, { mode: 0o600 })
    return file
  }

  before(
    async () => {
      world = await deployed()
      // Cron runs the copy on the server: make it this one
      await ops(['bootstrap'])
      // Nothing backs up or ships but the test.
      await quiet(world)
      scratch = mkdtempSync(join(tmpdir(), 'backup-test-'))
      const image = await world.server.exec(
        `docker inspect -f '{{.Config.Image}}' $(docker ps -q --filter label=com.docker.compose.service=postgres)`,
      )
      const here = (await $try`docker image inspect ${image}`).ok
      postgres = here ? image : await text($`docker image ls -q everyskill/postgres | head -1`)
      await sql(
        world,
        `create table if not exists backup_probe (id int primary key, note text); alter table backup_probe owner to everyskill; truncate backup_probe; insert into backup_probe select i, 'plaintext-marker-' || i from generate_series(1, 3000) i`,
      )
    },
    { timeout: 1_000_000 },
  )
  after(async () => {
    await sql(world, 'drop table if exists backup_probe')
    rmSync(scratch, { recursive: true, force: true })
    await loud(world)
  })

  test('holds every row, lies in both places, compares equal, and opens with a key that is not on the server', async () => {
    const [made] = JSON.parse(await good('dump', '--json'))
    const name = /^(\d{8}T\d{6}Z): dump of \d+ tables, \d+ rows, \d+ bytes$/.exec(made)?.[1]
    const manifest = JSON.parse(await world.server.exec(`cat ${dumps}/${name}/manifest.json`))
    assert.is(manifest.rows['public.backup_probe'], 3000)
    assert.is(manifest.recipients.length, 2)
    const { label, server, box, proven } = await newest()
    assert.equal([label, server, box, 'shipped' in proven], [name, true, true, true])
    const compared = await good('verify')
    assert.match(compared, /every file of the repository is what was written/)
    assert.match(compared, /copies on the server and on the Storage Box are what was made/)
    assert.match(await good('verify', '--decrypt', '--image', postgres), /opens and holds/)
    assert.equal(Object.keys((await newest()).proven).sort(), ['decrypted', 'shipped', 'verified'])
  })

  test('leaves no plaintext, no key ring and no part behind', async () => {
    assert.is(
      await world.server.exec(
        `grep -rlE 'plaintext-marker|PGDMP|CREATE ROLE' ${dumps} /run /tmp --exclude-dir=docker 2> /dev/null || true`,
      ),
      '',
    )
    assert.is(await world.storagebox.exec(`grep -rlE 'plaintext-marker|PGDMP|CREATE ROLE' /box || true`), '')
    assert.is(await world.server.exec('ls -d /run/everyskill-backup 2> /dev/null || true'), '')
    assert.not.match(`${await names(dumps)}${await names(boxDumps, world.storagebox)}`, /part/)
    assert.is(await world.server.exec(`find ${dumps} -perm /077 | head -1`), '')
  })

  test('without a word does what is due: all of it once a day, else an incremental one', async () => {
    const due = async () => JSON.parse(await good('--json')) as string[]
    const first = await due()
    assert.match(first[0] ?? '', /^\d{8}-\d{6}F/)
    // Without what says when each was last done.
    await world.server.exec(`cd ${backups}; mv dumps dumps.away; mv files files.away; rm shipping/verified`)
    try {
      const all = await due()
      const kinds = [/^\d{8}-\d{6}F_\d{8}-\d{6}I/, /: dump of/, /: files,/, /^verified: every file/]
      assert.is(all.length, kinds.length, all.join('\n'))
      for (const [i, kind] of kinds.entries()) assert.match(all[i] ?? '', kind)
      const { dumps, files } = await everything()
      for (const entry of [dumps.at(-1), files.at(-1)]) assert.ok(entry?.server && entry.box, entry?.label)
      const again = await due()
      assert.is(again.length, 1, again.join('\n'))
      assert.match(again[0] ?? '', kinds[0] as RegExp)
    } finally {
      await world.server.exec(
        `cd ${backups}; for shelf in dumps files; do mkdir -p $shelf $shelf.away; cp -a $shelf/. $shelf.away/; rm -r $shelf; mv $shelf.away $shelf; done`,
      )
    }
  })

  test('says nothing under cron, from the installed crontab', async () => {
    const before = await sets()
    assert.is(await world.server.exec('diff /opt/everyskill/repo/cron/everyskill /root/everyskill.cron'), '')
    assert.is(await asCron(world, /backup\.ts$/), '')
    const after = await sets()
    assert.is(after.length, before.length + 1)
    assert.is(after.at(-1)?.type, 'incr')
  })

  test('is refused with 3 while the repository comes back from the box: it would forget the older ones', async () => {
    const mark = '/var/backups/everyskill/returning'
    await world.server.exec(`touch ${mark}`)
    try {
      for (const verb of [[], ['incr'], ['dump']]) {
        const { code, stderr } = await run(...verb)
        assert.is(code, 3, stderr)
        assert.match(stderr, /has not come back from the Storage Box as a whole/)
      }
    } finally {
      await world.server.exec(`rm ${mark}`)
    }
  })

  test('is refused with 4 while another one runs, and names it', async () => {
    const holder = 'eve@desk, since this morning, for: backup'
    await whileLocked(world, 'backup', holder, async () => {
      const { code, stderr } = await run('dump')
      assert.is(code, 4, stderr)
      assert.ok(stderr.includes(`is held by ${holder}`), stderr)
    })
  })

  test('stopped by Ctrl-C ends with 130 and leaves no half backup', async () => {
    const had = await names(dumps)
    const stopped = begin(world.env, ['backup', 'dump'])
    await until('the dump to begin', 30, async () => ((await names(dumps)) === had ? undefined : true))
    stopped.interrupt()
    const { code, stderr } = await stopped.done
    assert.is(code, 130, stderr)
    assert.equal(
      (await list()).filter((one) => one.server && !one.rows),
      [],
    )
    await good('dump')
    assert.not.match(await names(dumps), /part/)
  })

  test(`killed at any moment leaves no half backup, and the next run works (${kills} times)`, {
    timeout: 300_000 + kills * 60_000,
  }, async () => {
    for (let i = 0; i < kills; i++) {
      const killed = begin(world.env, ['backup', 'dump'])
      await sometime(500, 6000)
      killed.kill()
      await killed.done
      assert.equal(
        (await list()).filter((one) => one.server && !one.rows),
        [],
      )
      await good('dump')
    }
    const { label, box } = await newest()
    assert.ok(box)
    await good('verify', label)
    assert.not.match(`${await names(dumps)}${await names(boxDumps, world.storagebox)}`, /part/)
  })

  test(`killed on the server, with everything it started, it leaves none either (${kills} times)`, {
    timeout: 300_000 + kills * 60_000,
  }, async () => {
    for (let i = 0; i < kills; i++) {
      const seconds = (0.4 + Math.random() * 4).toFixed(2)
      await world.server.exec(
        `cd /opt/everyskill/repo; PATH=/opt/everyskill/node/bin:$PATH OPS_QUIET=1 setsid node_modules/.bin/tsx ops/backup.ts dump > /dev/null 2>&1 & pid=$!; sleep ${seconds}; pkill -KILL -s $pid || true`,
      )
      assert.equal(
        (await list()).filter((one) => one.server && !one.rows),
        [],
      )
      await good('dump')
    }
    await good('verify', (await newest()).label)
    assert.not.match(`${await names(dumps)}${await names(boxDumps, world.storagebox)}`, /part/)
  })

  test('fails without a trace where there is no space, and says so', async () => {
    const had = await names(dumps)
    await world.server.exec(`mkdir -p ${dumps}; mount -t tmpfs -o size=16k none ${dumps}`)
    try {
      const { code, stderr } = await run('dump')
      assert.is(code, 1, stderr)
      assert.match(stderr, /no space left on device/i)
      assert.is(await names(dumps), '')
    } finally {
      await world.server.exec(`umount ${dumps}`)
    }
    assert.is(await names(dumps), had)
  })

  test('stays on the server with 5 when the box cannot be reached, and is shipped by the next run', {
    timeout: 300_000,
  }, async () => {
    await world.storagebox.crash()
    const { code, stderr } = await run('dump').finally(() => world.storagebox.start())
    assert.is(code, 5, stderr)
    assert.match(stderr, /Storage Box cannot be reached/)
    const alone = await newest()
    assert.equal([alone.server, alone.box, alone.proven], [true, false, {}])
    await good('dump')
    const entry = (await list()).find(({ label }) => label === alone.label) as Entry
    assert.ok(entry.box && entry.proven.shipped)
  })

  test('that was altered or cut short on the box is found with 6', async () => {
    const { label } = await newest()
    const file = `${boxDumps}/${label}/database.dump.gpg`
    for (const harm of [
      `printf X | dd of=${file} bs=1 seek=900 conv=notrunc status=none`,
      `truncate -s -1 ${file}`,
      `rm ${file}`,
    ]) {
      await world.storagebox.exec(`cp -p ${file} /tmp/kept; ${harm}`)
      const { code, stderr } = await run('verify', label)
      await world.storagebox.exec(`cp -p /tmp/kept ${file}`)
      assert.ok(code === 6 || (code === 1 && harm.startsWith('rm')), `${harm}: ${code} ${stderr}`)
      assert.match(stderr, /database\.dump\.gpg/)
    }
    await good('verify', label)
  })

  test('of an old age goes from the server only when it is shipped, and never the newest', async () => {
    const { label } = await newest()
    await world.server.exec(
      `cd ${dumps}; for day in 01 02; do old=202001"$day"T000000Z; cp -a ${label} $old; sed -i -e s/${label}/$old/ -e '/"createdAt"/s/: ".*"/: "2020-01-'$day'T00:00:00Z"/' $old/manifest.json; done; rm 20200102T000000Z/proofs`,
    )
    await good('dump')
    const kept = await names(dumps)
    assert.not.match(kept, /20200101T000000Z/)
    assert.match(
      await names(boxDumps, world.storagebox),
      /20200102T000000Z/,
      'what was not shipped is shipped first',
    )
    await good('dump')
    assert.not.match(await names(dumps), /2020/)
    assert.match(kept, new RegExp(label))
  })

  test('is deleted on the box only by prune: by the main account, old ones, not too many, after typing the name', async () => {
    const dir = ['--dir', 'everyskill/backups']
    const { label } = await newest()
    await good('ship', '--once')
    const set = (await sets()).at(-1)?.label as string
    // Two physical ones that the catalogue does not know, of which one is young.
    const yesterday = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10).replaceAll('-', '')
    const [old, young] = ['20200101-000000F', `${yesterday}-000000F`]
    await world.storagebox.exec(
      `cd ${boxDumps}; rm -rf 2020*; for n in 1 2 3 4 5 6 7 8 9; do cp -a ${label} 2020010\${n}T000000Z; done
cd ${boxSets}; rm -rf 2020*; for name in ${old} ${old}.part ${young}; do mkdir $name; touch $name/backup.manifest; chown -R --reference=. $name; done`,
    )
    const there = async () => (await names(`${boxDumps} ${boxSets}`, world.storagebox)).split('\n')
    const all = await there()
    const wal = `find ${boxBackups}/repository/archive -type f | sort`
    const archived = await world.storagebox.exec(wal)
    try {
      assert.is((await run('prune', label, ...dir)).code, 2, 'nobody names what goes')
      const many = await run('prune', ...dir, '--share', '1', '--confirm', 'any')
      assert.is(many.code, 3)
      assert.match(many.stderr, /of the \d+ backups on the Storage Box would go, more than 1 %/)
      const share = ['--share', '100']
      assert.is((await run('prune', ...dir, ...share)).code, 3)
      assert.is((await run('prune', ...dir, ...share, '--confirm', 'another.box')).code, 3)
      await good('prune', ...dir, ...share, '--dry-run')
      assert.equal(await there(), all)
      const host = /^STORAGEBOX_HOST=(.*)$/m.exec(readFileSync(world.env, 'utf8'))?.[1] as string
      await good('prune', ...dir, ...share, '--confirm', host)
      const left = await there()
      for (const name of [label, set, young]) assert.ok(left.includes(name), `${name} is gone`)
      assert.not.ok(
        left.some((name) => /^20200101|part$/.test(name)),
        left.join(),
      )
      assert.is(await world.storagebox.exec(wal), archived)
    } finally {
      await world.storagebox.exec(`rm -rf ${boxDumps}/2020* ${boxSets}/${old}* ${boxSets}/${young}`)
    }
    const local = await world.server.exec(
      'cd /opt/everyskill/repo; PATH=/opt/everyskill/node/bin:$PATH node_modules/.bin/tsx ops/backup.ts prune 2>&1 || echo code $?',
    )
    assert.match(local, /may not delete[\s\S]*code 3/)
  })

  test('is never decrypted on the server', async () => {
    const local = await world.server.exec(
      'cd /opt/everyskill/repo; PATH=/opt/everyskill/node/bin:$PATH node_modules/.bin/tsx ops/backup.ts verify --decrypt 2>&1 || echo code $?',
    )
    assert.match(local, /no private key[\s\S]*code 3/)
    assert.is(
      await world.server.exec(`grep -rl 'PGP PRIVATE KEY' /opt/everyskill /root 2> /dev/null || true`),
      '',
    )
  })

  test('is not opened by another key', async () => {
    const home = join(scratch, 'other-key')
    await $`mkdir -m 700 ${home}; gpg --homedir ${home} --batch --quiet --passphrase '' --pinentry-mode loopback --quick-generate-key other@example.test default default 1d`
    const env = otherEnv({ BACKUP_GPG_HOMEDIR: home })
    const { code, stderr } = await attempted(env, ['backup', 'verify', '--decrypt', '--image', postgres])
    await $({ nothrow: true })`gpgconf --homedir ${home} --kill gpg-agent`
    assert.is(code, 6, stderr)
    assert.match(stderr, /the key here does not open it/)
  })

  test('of a database without tables is refused, unless that is wanted', async () => {
    const aside = `alter database everyskill allow_connections false; select pg_terminate_backend(pid) from pg_stat_activity where datname = 'everyskill'; select pg_sleep(0.5)`
    await sql(
      world,
      `${aside}; alter database everyskill rename to everyskill_aside; create database everyskill`,
      'postgres',
    )
    const had = await names(dumps)
    try {
      const { code, stderr } = await run('dump')
      assert.is(code, 6, stderr)
      assert.match(stderr, /--allow-empty/)
      assert.is(await names(dumps), had)
      await good('dump', '--allow-empty')
    } finally {
      await sql(
        world,
        'drop database everyskill with (force); alter database everyskill_aside rename to everyskill; alter database everyskill allow_connections true',
        'postgres',
      )
      await sql(world, 'select count(*) from backup_probe')
    }
    const { label, rows } = await newest()
    assert.is(rows, 0)
    await world.server.exec(`rm -r ${dumps}/${label}`)
    await world.storagebox.exec(`rm -r ${boxDumps}/${label}`)
  })
})
