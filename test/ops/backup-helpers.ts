import * as assert from 'uvu/assert'
import { attempted, begin } from '../lab/begin.ts'
import { quiet } from '../lab/cron.ts'
import { boxBackups, deployed } from '../lab/deployed.ts'
import { type Run, tryOps } from '../lab/ops.ts'
import { until } from '../lab/shell.ts'
import { sql } from '../lab/sql.ts'
import type { World } from '../lab/world.ts'

export const repository = '/var/backups/everyskill/repository'
/** A command on the server: the id of the live database's container, also when it stands still. */
export const postgresId =
  'docker ps -aq --filter label=com.docker.compose.project=everyskill --filter label=com.docker.compose.service=postgres'

/**
 * The lab with a release on it and a full backup on the Storage Box. Cron is put aside and what it started is ended, so
 * that nothing ships or looks but the test; `loud` puts it back. A box with another database's backups is emptied.
 */
export async function backedUp(): Promise<World> {
  const world = await deployed()
  await quiet(world)
  await good(world, 'backup', 'full')
  const { code, stderr } = await attempted(world.env, ['backup', 'ship', '--once'])
  if (code === 3) {
    await world.storagebox.exec(`rm -rf ${boxBackups}`)
    await good(world, 'backup', 'ship', '--once')
  } else assert.is(code, 0, stderr)
  return world
}

/** Runs a script with the lab's `.env`. @returns its stdout @throws unless it ended with 0 */
export async function good(world: World, ...args: [string, ...string[]]): Promise<string> {
  return goodWith(world.env, ...args)
}

/** As `good`, with a `.env` of the caller's. */
export async function goodWith(env: string, ...args: [string, ...string[]]): Promise<string> {
  const { code, stdout, stderr } = await attempted(env, args)
  assert.is(code, 0, `${args.join(' ')}: ${stderr}`)
  return stdout
}

/** Runs a script that must end with a code of its own. */
export async function bad(code: number, ...args: [string, ...string[]]): Promise<Run> {
  const run = await tryOps(args)
  assert.is(run.code, code, `${args.join(' ')}: ${run.stderr}`)
  return run
}

/** Runs pgBackRest in the live database's container. */
export function pgbackrest(world: World, words: string): Promise<string> {
  return world.server.exec(
    `docker exec -u postgres "$(docker ps -q --filter label=com.docker.compose.project=everyskill --filter label=com.docker.compose.service=postgres)" pgbackrest --stanza=everyskill ${words}`,
  )
}

/** Waits until all that was committed is in the archive. */
export async function archived(world: World): Promise<void> {
  await pgbackrest(world, 'check')
}

/** Copies all to the Storage Box that was committed until now. */
export async function shipAll(world: World): Promise<void> {
  await archived(world)
  await good(world, 'backup', 'ship', '--once')
}

/**
 * Writes to the live database while the work runs: each transaction adds a row under the next number to two tables, so a
 * consistent state has the same numbers, without a gap, in both.
 * @returns what the work gave, and how many rows were committed
 */
export async function whileWritten<T>(
  world: World,
  work: () => Promise<T>,
): Promise<{ value: T; rows: number }> {
  await sql(
    world,
    `drop table if exists written_a, written_b, written_enough; create table written_enough ();
create table written_a (id int primary key, created_at timestamptz default clock_timestamp(), body text);
create table written_b (id int primary key, body text)`,
  )
  const writer = sql(
    world,
    `do $$ begin for i in 1 .. 100000 loop
  insert into written_a values (i, clock_timestamp(), repeat(md5(i::text), 40));
  insert into written_b select id, body from written_a where id = i;
  commit;
  exit when to_regclass('written_enough') is null;
  perform pg_sleep(0.02);
end loop; end $$`,
  )
  const gone = writer.catch((error: Error) => error)
  try {
    const first = async () => (Number(await written(world)) > 0 ? true : undefined)
    await until('the first row', 20, first)
    return { value: await work(), rows: Number(await written(world)) }
  } finally {
    await sql(world, 'drop table if exists written_enough').catch(() => {})
    await gone
  }
}

const written = (world: World) => sql(world, 'select count(*) from written_a')

/** Starts a script that goes on until it is ended. */
export const start = (world: World, ...args: [string, ...string[]]) => begin(world.env, args)

export interface Listed {
  label: string
  needs: string[]
  wal: { start: string; stop: string }
}

/** The physical backups of the server, the oldest first. */
export async function listed(world: World): Promise<Listed[]> {
  return JSON.parse(await good(world, 'backup', 'list', '--json')).physical
}

/** Where the server's archive lacks a segment, from the oldest backup of the present timeline to the newest segment. */
export async function gaps(world: World): Promise<string[]> {
  const all = await listed(world)
  const line = all.at(-1)?.wal.start.slice(0, 8) as string
  const first = all.find((one) => one.wal.start.startsWith(line))?.wal.start.slice(8) as string
  const names = await world.server.exec(
    `find ${repository}/archive -type f -name '${line}*-*' -printf '%f\\n' | cut -c 9-24 | LC_ALL=C sort -u`,
  )
  const segments = names.split('\n').filter((name) => name >= first)
  assert.ok(segments.length > 1, names)
  const number = (name: string) => parseInt(name.slice(0, 8), 16) * 256 + parseInt(name.slice(8), 16)
  return segments.filter((name, i) => i > 0 && number(name) !== number(segments[i - 1] as string) + 1)
}
