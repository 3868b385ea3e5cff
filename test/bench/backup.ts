/**
 * The bench of the backup: on databases of three sizes, what the seed's pipeline costs and what ours does, in one run on one
 * machine. Writes .lab/bench/backup.json, backup.svg and backup.md; a quick run writes backup-quick.* instead.
 */
import { writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { Fail } from '../../ops/lib/fail.ts'
import { labPath } from '../lab/shell.ts'
import { benchImage, removeAll } from './containers.ts'
import { addVectors, change, fill, fingerprint, type Size, sizes } from './data.ts'
import { archived, bytesOf, keys, made, newestBackup, ours, seed, versions } from './pipelines.ts'
import { plot } from './plot.ts'
import { Server } from './server.ts'
import { type Measured, panels, type Result, summary } from './summary.ts'
import { page } from './table.ts'

/** Runs the bench; the table goes to stdout. */
export async function backup({
  quick,
  image,
}: {
  quick: boolean
  image?: string | undefined
}): Promise<void> {
  await removeAll()
  const from = await benchImage(image)
  const results: Result[] = []
  let known: string[] = []
  for (const size of sizes(quick)) {
    const server = await Server.create(from)
    results.push(await measure(server, from, size))
    known = (await server.exec(versions)).split('\n')
    await server.remove()
  }
  const all = summary(results, { quick, versions: known, date: new Date(), cores: cpus().length })
  const file = (ending: string) => labPath('bench', `backup${quick ? '-quick' : ''}.${ending}`)
  writeFileSync(file('json'), `${JSON.stringify(all, null, 2)}\n`)
  writeFileSync(file('svg'), plot(panels(results)))
  writeFileSync(file('md'), page(all))
  process.stdout.write(page(all))
}

/** Everything on a database of one size, in the order of a day: full backups, a change, hourly ones, the loss. */
async function measure(server: Server, image: string, size: Size): Promise<Result> {
  const named = (what: string) => `${size.vectors} vectors, ${what}`
  const run = async (what: string, script: string, bytes: string): Promise<Measured> => {
    const cost = await server.measure(named(what), script)
    return { ...cost, bytes: Number(await server.exec(bytes)) }
  }
  const number = async (script: string) => Number(await server.exec(script))
  const copy = (what: string) => run(`seed ${what}`, seed.backup, bytesOf(made.seed))

  await server.exec(keys)
  process.stderr.write(`bench: ${named('filling')}\n`)
  await server.sql(fill(size))
  const [onDisk = 0, index = 0] = (
    await server.sql(`select pg_database_size('everyskill'), pg_indexes_size('embeddings')`)
  )
    .split('|')
    .map(Number)

  const seedFull = await copy('full backup')
  const full = await run('our full backup', ours.full, newestBackup)
  const dump = await run('our dump', ours.dump, bytesOf(made.dump))
  const dumpCounted = await run('our dump, counted', ours.dumpCounted, bytesOf(made.dump))

  const before = await number(archived)
  await server.sql(change)
  const afterChange = await number(archived)
  const idleSegment = (await number(archived)) - afterChange
  const incremental = await run('our incremental', ours.incremental, newestBackup)
  const hourly = await copy('hourly backup')

  const expected = await server.sql(fingerprint)
  const restored = await Server.idle(image)
  const restore = await restored.measure(named('our restore'), ours.restore)
  same(await restored.sql(fingerprint), expected, 'our restore')
  await restored.remove()
  const seedRestore = await server.measure(named('seed restore'), seed.restore)
  same(await server.sql(`\\connect restored\n${fingerprint}`), expected, 'the restore of the seed')
  await server.sql('drop database restored')

  const beforeVectors = await number(archived)
  await server.sql(addVectors(size))
  const walOfVectors = (await number(archived)) - beforeVectors
  const incrementalVectors = await run('our incremental after new vectors', ours.incremental, newestBackup)

  return {
    ...size,
    bytesOnDisk: onDisk,
    indexBytes: index,
    rows: expected,
    seed: { full: seedFull, hourly, restore: seedRestore },
    ours: {
      full,
      incremental,
      incrementalVectors,
      dump,
      dumpCounted,
      restore,
      wal: { change: afterChange - before, vectors: walOfVectors, idleSegment },
    },
  }
}

function same(found: string, expected: string, what: string): void {
  if (found !== expected)
    throw new Fail('unverified', `${what} has other rows: ${found} where ${expected} are expected`)
}
