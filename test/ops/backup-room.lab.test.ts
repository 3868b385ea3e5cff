/** The database and its backups on one small file system that fills, and an alert that nobody hears. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { describe } from '../describe.ts'
import { attempted } from '../lab/begin.ts'
import { loud } from '../lab/cron.ts'
import { $, until } from '../lab/shell.ts'
import { sql } from '../lab/sql.ts'
import type { World } from '../lab/world.ts'
import {
  archived,
  backedUp,
  bad,
  gaps,
  good,
  goodWith,
  postgresId,
  repository,
  shipAll,
} from './backup-helpers.ts'
import { envWith } from './deploy-helpers.ts'

const small = '/mnt/small'
const data = '/var/lib/docker/volumes/everyskill_postgres_data/_data'
/** Megabytes that are free when the test begins: a tenth of the disk, the reserve, has to hold a few WAL segments. */
const spare = 600

describe('a disk that fills', { timeout: 300_000 }, ({ test, before, after }) => {
  let world: World
  let scratch = ''
  let sink: Server
  const heard: string[] = []
  const server = (script: string) => world.server.exec(script)
  const free = async () => Number(await server(`df -BM --output=avail ${small} | tail -n 1 | tr -dc 0-9`))
  /** Leaves so many megabytes free on the small file system. */
  const leave = async (megabytes: number) => {
    await server(`rm -f ${small}/filler`)
    await server(`head -c ${(await free()) - megabytes}M /dev/zero > ${small}/filler`)
  }
  const fileOf = async (table: string) =>
    `${data}/pgdata/${await sql(world, `select pg_relation_filepath('${table}')`)}`
  const append = async (table: string, what: string) => server(`${what} >> ${await fileOf(table)}`)
  const alertTo = (url: string) => envWith(world, join(scratch, 'alert.env'), { ALERT_URL: url })
  const alert = (url: string) => attempted(alertTo(url), ['backup', 'status', '--alert'])
  const undelivered = async () =>
    JSON.parse((await attempted(world.env, ['backup', 'status', '--json'])).stdout).undelivered
  const url = () => `https://127.0.0.1:${(sink.address() as AddressInfo).port}/`
  const answers = () => until('the database', 90, () => sql(world, 'select 1').catch(() => undefined))

  before(
    async () => {
      world = await backedUp()
      scratch = mkdtempSync(join(tmpdir(), 'room-test-'))
      const [key, cert] = [join(scratch, 'key.pem'), join(scratch, 'cert.pem')]
      await $`openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=alerts -addext subjectAltName=IP:127.0.0.1 -keyout ${key} -out ${cert}`
      process.env.NODE_EXTRA_CA_CERTS = cert
      sink = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (request, response) => {
        let body = ''
        request.on('data', (part) => {
          body += part
        })
        request.on('end', () => {
          heard.push(body)
          response.end()
        })
      }).listen(0, '127.0.0.1')
      await sql(
        world,
        'drop table if exists room_probe; create table room_probe (id int primary key, body text)',
      )
      await server(`rm -rf ${data}/before-* ${data}/undone-* ${data}/restoring
used=$(du -smc ${data} ${repository} | tail -n 1 | cut -f 1)
docker stop $(${postgresId}) > /dev/null
mkdir -p ${small}; mount -t tmpfs -o size=$((used + ${spare}))m small ${small}
for pair in data:${data} repository:${repository}; do
  rsync -a "\${pair#*:}/" "${small}/\${pair%%:*}/"; mount --bind "${small}/\${pair%%:*}" "\${pair#*:}"
done
docker start $(${postgresId}) > /dev/null`)
      await answers()
    },
    { timeout: 900_000 },
  )
  after(async () => {
    await server(`docker stop $(${postgresId}) > /dev/null
for pair in data:${data} repository:${repository}; do
  umount "\${pair#*:}"; rsync -a --delete "${small}/\${pair%%:*}/" "\${pair#*:}/"
done
umount ${small}
docker start $(${postgresId}) > /dev/null`)
    await answers()
    await sql(world, 'drop table if exists room_probe')
    delete process.env.NODE_EXTRA_CA_CERTS
    sink.close()
    rmSync(scratch, { recursive: true, force: true })
    await loud(world)
  })

  test('has backups while there is room; then they stop at the reserve, and the database goes on', async () => {
    await good(world, 'backup', 'incr')
    const size = Number(await server(`df -BM --output=size ${small} | tail -n 1 | tr -dc 0-9`))
    await leave(Math.floor(size / 10) - 3)
    for (const job of ['incr', 'full'])
      assert.match((await bad(3, 'backup', job)).stderr, /are the reserve that backups leave to the database/)
    await sql(world, 'insert into room_probe values (1, repeat(md5(random()::text), 1000))')
    await archived(world)
    assert.match((await bad(1, 'backup', 'status')).stderr, /backups have stopped, the database still writes/)
  })

  test('is told; an alert that cannot be delivered is seen in status, and comes when it can', async () => {
    assert.is((await alert('https://127.0.0.1:9/')).code, 0)
    assert.match(await undelivered(), /the alert address does not answer/)
    const { stdout } = await attempted(world.env, ['backup', 'status'])
    assert.match(stdout, /last alert +the alert address does not answer/)
    assert.is((await alert(url())).code, 0)
    assert.is(heard.length, 1)
    assert.match(heard[0] as string, /backups have stopped, the database still writes/)
    assert.is(await undelivered(), null)
    // The same again is no news; its end is.
    await alert(url())
    assert.is(heard.length, 1)
    await server(`rm -f ${small}/filler`)
    await alert(url())
    assert.is(heard.length, 2)
    assert.not.match(heard[1] as string, /backups have stopped/)
  })

  test('full to the last byte costs no row that was committed, and no WAL: with room again the archive has no gap', async () => {
    let committed = Number(await sql(world, 'select count(*) from room_probe'))
    // From here on the database may stop at any time: it needs room for WAL of its own.
    await leave(20)
    const failed = async () => {
      for (; committed < 100; committed++)
        await sql(
          world,
          `insert into room_probe select ${committed + 1}, string_agg(md5(random()::text), '') from generate_series(1, 30000)`,
        )
    }
    const error = await failed().then(
      () => undefined,
      (error: Error) => error,
    )
    console.log(`${committed} rows, then: ${error?.message.split('\n').at(-1)}`)
    assert.ok(error, 'the file system never was full')
    const seen = await attempted(world.env, ['backup', 'status'])
    assert.is(seen.code, 1)
    await server(`rm -f ${small}/filler`)
    await answers()
    const rows = Number(await sql(world, 'select count(*) from room_probe'))
    assert.ok(rows >= committed, `${rows} of ${committed}`)
    await archived(world)
    assert.equal(await gaps(world), [])
    // PostgreSQL ran out of room within a page, or not: here it did.
    await append('room_probe', 'head -c 4096 /dev/zero')
    const { code, stderr } = await attempted(world.env, ['backup', 'incr'])
    assert.is(code, 0, stderr)
    assert.match(stderr, /ends within a page, as a disk that was full leaves it/)
    await shipAll(world)
    await goodWith(world.env, 'backup', 'drill')
  })

  test('pages that are wrong are told apart from ends that are none; without them backups go on', async () => {
    await sql(world, 'create table bad_page as select 1 as n; checkpoint')
    await server(`printf wrong | dd of=${await fileOf('bad_page')} bs=1 seek=8000 conv=notrunc status=none`)
    assert.match((await bad(6, 'backup', 'incr')).stderr, /pages with a wrong checksum/)
    assert.match((await bad(1, 'backup', 'status')).stderr, /the newest backup holds pages with a wrong/)
    await sql(world, 'drop table bad_page; checkpoint')
    await good(world, 'backup', 'incr')
    assert.not.match((await attempted(world.env, ['backup', 'status'])).stderr, /wrong checksum/)
  })
})
