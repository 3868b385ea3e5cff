import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { Fail } from '../../ops/lib/fail.ts'
import {
  archiveRest,
  changeClusters,
  dropCluster,
  keptClusters,
  restoreBeside,
} from '../../ops/lib/inplace.ts'
import { diskUnder } from '../../ops/lib/new-server.ts'
import type { Target } from '../../ops/lib/target.ts'
import { clean } from '../bash.ts'
import { describe, rejects } from '../describe.ts'
import { folders } from '../folders.ts'
import { Captor, Elsewhere, Listener } from '../hosts.ts'
import { physical, recorded } from '../physical.ts'

const set = physical('2026-11-22T10:17:00Z')
const target: Target = {
  set,
  at: undefined,
  latest: false,
  record: recorded(set),
  timeline: undefined,
  until: undefined,
}
const kept = 'before-20261122T120000Z'

describe('clusters in the volume of the database', ({ test, before, after, beforeEach }) => {
  let host: Elsewhere
  let data = ''

  const folder = folders({ before, after })
  beforeEach(() => {
    const dir = folder()
    host = new Elsewhere(dir, new Listener())
    data = join(dir, 'data')
    mkdirSync(data)
    // Docker: the volume is a folder of ours; what it is told to start, stop and restore goes into a log
    host.program(
      'docker',
      `echo "$*" >> ${dir}/log
case "$*" in
  "volume inspect"*) echo ${data} ;;
  "ps "*) echo the-id ;;
  "inspect "*) echo "true 0" ;;
  *is_in_recovery*) echo f ;;
esac`,
    )
    host.program('df', 'echo "1B-blocks Avail"; echo "10000000000 ${FREE:-5000000000}"')
    mkdirSync(host.at('/opt/everyskill/env'), { recursive: true })
    writeFileSync(host.at('/opt/everyskill/env/compose.env'), 'POSTGRES_IMAGE=everyskill/postgres:1\n')
  })

  const cluster = (name: string, mark = name) => {
    mkdirSync(join(data, name, 'pg_wal'), { recursive: true })
    writeFileSync(join(data, name, 'PG_VERSION'), '17\n')
    writeFileSync(join(data, name, 'mark'), mark)
  }
  const mark = (name: string) => readFileSync(join(data, name, 'mark'), 'utf8')
  const log = () => {
    const file = join(host.dir, 'log')
    return existsSync(file) ? readFileSync(file, 'utf8').split('\n') : []
  }
  const change = (from = 'restoring', keepAs = kept) => changeClusters(host, new Listener(), from, keepAs)
  const beside = (on = host) => restoreBeside(on, new Listener(), target)

  test('are worked on by bash that ShellCheck has nothing to say about', async () => {
    const captor = new Captor()
    const said = new Listener()
    await restoreBeside(captor, said, target)
    await changeClusters(captor, said, 'restoring', kept)
    await archiveRest(captor, said)
    await dropCluster(captor, said, kept)
    await keptClusters(captor)
    await diskUnder(captor)
    clean(...captor.scripts)
    assert.is(captor.scripts.length, 6)
  })

  test('are changed while the database stands still: the live one is kept, the restored one takes its place', async () => {
    cluster('pgdata', 'live')
    cluster('restoring', 'restored')
    await change()
    assert.equal([mark('pgdata'), mark(kept)], ['restored', 'live'])
    assert.not.ok(existsSync(join(data, 'restoring')))
    const order = log().filter((line) => /^(stop|start) /.test(line))
    assert.equal(order, ['stop --time 60 the-id', 'start the-id'])
  })

  test('are changed back by the same way, to the bit that was live', async () => {
    cluster('pgdata', 'live')
    cluster('restoring', 'restored')
    await change()
    await change(kept, 'undone-20261122T130000Z')
    assert.equal([mark('pgdata'), mark('undone-20261122T130000Z')], ['live', 'restored'])
  })

  test('are changed to the end by the same call when it died between the two renames', async () => {
    cluster(kept, 'live')
    cluster('restoring', 'restored')
    await change()
    assert.equal([mark('pgdata'), mark(kept)], ['restored', 'live'])
    rmSync(join(data, 'pgdata'), { recursive: true })
    cluster('restoring', 'again')
    mkdirSync(join(data, 'pgdata'))
    await change()
    assert.equal(
      [mark('pgdata'), mark(kept)],
      ['again', 'live'],
      'an empty folder of the entrypoint is no cluster',
    )
  })

  test('are left as they are, and running, when there is none to change to', async () => {
    cluster('pgdata', 'live')
    await rejects(() => change(), /restoring is not there/)
    assert.is(mark('pgdata'), 'live')
    assert.not.ok(log().some((line) => line.startsWith('stop')))
  })

  test('are restored beside the live one, from a copy of its files, into a folder that nobody serves', async () => {
    cluster('pgdata', 'live')
    writeFileSync(join(data, 'pgdata', 'postmaster.pid'), '1')
    writeFileSync(join(data, 'pgdata', 'pg_wal', '1'), 'wal')
    mkdirSync(join(data, 'failed-1'))
    await beside()
    assert.equal(readdirSync(data).sort(), ['pgdata', 'restoring'])
    assert.equal(readdirSync(join(data, 'restoring')).sort(), ['PG_VERSION', 'mark', 'pg_wal'])
    assert.equal(readdirSync(join(data, 'restoring', 'pg_wal')), [])
    const run = log().find((line) => line.startsWith('run ')) ?? ''
    assert.match(run, /--network none .*--volume \S+\/repository:\/var\/lib\/pgbackrest:ro /)
    assert.match(run, new RegExp(`--volume ${data}/restoring:/var/lib/postgresql/data/pgdata `))
    assert.match(
      run,
      new RegExp(`everyskill/postgres:1 --stanza=everyskill --delta --set=${set.label} .*restore$`),
    )
    assert.match(run, new RegExp(`--type=name --target=${target.record?.point} `))
  })

  test('are refused a second place where the disk has no room, before a byte is copied', async () => {
    cluster('pgdata', 'live')
    host.program('df', 'echo "1B-blocks Avail"; echo "10000000000 1000000999"')
    const error = (await beside().catch((thrown: unknown) => thrown)) as Fail
    assert.ok(error instanceof Fail)
    assert.is(error.exitCode, 3)
    assert.equal(readdirSync(data), ['pgdata'])
  })

  test('take up what a killed restore left, but for a copy that was never finished', async () => {
    cluster('pgdata', 'live')
    cluster('restoring', 'half restored')
    host.program('df', 'echo "1B-blocks Avail"; echo "10000000000 0"')
    await beside()
    assert.is(mark('restoring'), 'half restored', 'it has its place on the disk already')
  })

  test('are listed when a restore kept them, the oldest first, with their sizes', async () => {
    for (const name of [
      'pgdata',
      'restoring',
      'undone-20261122T100000Z',
      kept,
      'before-x',
      'before-20261121T120000Z',
    ])
      cluster(name)
    const names = (await keptClusters(host)).map((one) => one.name)
    assert.equal(names, ['before-20261121T120000Z', 'undone-20261122T100000Z', kept])
    assert.ok((await keptClusters(host)).every((one) => one.bytes > 0))
  })

  test('are deleted only when a restore kept them', async () => {
    for (const name of ['pgdata', kept]) cluster(name)
    for (const name of ['pgdata', 'restoring', `${kept}/..`, '..', ''])
      await rejects(() => dropCluster(host, new Listener(), name), /not a cluster that a restore kept/)
    await dropCluster(host, new Listener(), kept)
    assert.equal(readdirSync(data), ['pgdata'])
  })
})
