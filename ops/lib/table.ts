import { type Cluster, execute, inside, query } from './database.ts'
import { database } from './dump.ts'
import { attempt } from './exclusive.ts'
import { Fail, undoing } from './fail.ts'
import { labelAt } from './manifest.ts'
import type { Session } from './session.ts'
import { lines, sh } from './sh.ts'

/** A table by its names as the database has them, unquoted. */
export interface TableName {
  schema: string
  table: string
}

/** A plain name, or a quoted one, without what could end a quotation in SQL. */
const part = String.raw`([a-z_][a-z0-9_]*|"[^"'\\\n*?]+")`

/**
 * A table as `schema.table`; `public` when no schema is given. Quoted as in SQL where it is no plain name.
 * @throws Fail `usage` when it is neither
 */
export function tableName(text: string): TableName {
  const [, schema = 'public', table] = new RegExp(`^(?:${part}\\.)?${part}$`).exec(text) ?? []
  const bare = (name: string) => name.replaceAll('"', '')
  if (table) return { schema: bare(schema), table: bare(table) }
  throw new Fail(
    'usage',
    `--table ${text}: a table's name, such as documents or drizzle.__drizzle_migrations, or '"Documents"'`,
  )
}

/** `schema.table` for SQL and pg_dump; quoted only where it has to be. */
export function quoted({ schema, table }: TableName): string {
  return [schema, table].map((name) => (/^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name}"`)).join('.')
}

/** The schema that holds what was brought back from a moment. */
export function sideSchema(at: Date): string {
  return `restored_${labelAt(at).toLowerCase()}`
}

/**
 * Copies a table out of a scratch database into a schema of the live one: rows, indexes and constraints, but not foreign
 * keys, which would tie it to the rows of today. The live table is not touched. All of it or nothing. Other tables of that
 * moment may be there already.
 * @returns how many rows are there now; 0 in a dry run, which asks nothing of a scratch database that is not there
 * @throws Fail `refused` when the table or the schema is not as it must be
 */
export async function bringTable(
  scratch: Cluster,
  live: Cluster,
  session: Session,
  name: TableName,
  into: string,
): Promise<number> {
  const [from, to] = [quoted(name), quoted({ schema: into, table: name.table })]
  const make = `create schema if not exists ${into} authorization everyskill`
  if (session.dryRun) {
    await copyTable(scratch, live, session, to)
    return 0
  }
  const [found] = await query(scratch, database, `select to_regclass('${from}') is not null`)
  if (found !== 't') throw new Fail('refused', `there was no table ${from} at that moment`)
  const [taken] = await query(live, database, `select to_regclass('${to}') is not null`)
  if (taken === 't')
    throw new Fail('refused', `${to} is there already: drop table ${to}, or take another moment`)
  const side = `${make};
select format('alter table %s drop constraint %I', conrelid::regclass, conname) from pg_constraint where contype = 'f' and conrelid = '${from}'::regclass \\gexec
alter table ${from} set schema ${into};`
  await execute(scratch, session, database, side)
  await execute(live, session, database, make)
  await copyTable(scratch, live, session, to).catch((error) =>
    undoing(error, () => execute(live, session, database, dropEmpty(into))),
  )
  const count = `select count(*) from ${to}`
  const [there, here] = [await query(scratch, database, count), await query(live, database, count)]
  if (there[0] === here[0]) return Number(here[0])
  throw new Fail('unverified', `${to} has ${here[0]} rows here, and ${there[0]} in the backup`)
}

async function copyTable(scratch: Cluster, live: Cluster, session: Session, table: string): Promise<void> {
  const dump = ['pg_dump', '-Fc', `--table=${table}`, database]
  const restore = ['pg_restore', '--exit-on-error', '--single-transaction', '-d', database]
  const copy = lines(
    scratch.find,
    sh`from=$postgres`,
    live.find,
    sh`docker exec -u postgres "$from" ${dump} | docker exec -i -u postgres "$postgres" ${restore}`,
  )
  await attempt(live.host, session, copy)
}

function dropEmpty(schema: string): string {
  return `select 'drop schema ${schema}' where not exists (select from pg_class where relnamespace = to_regnamespace('${schema}')) and to_regnamespace('${schema}') is not null \\gexec`
}

/** @throws Fail `refused` when the live database cannot take a table */
export async function refuseDead(live: Cluster): Promise<void> {
  const answer = await live.host.probe(inside(live, ['pg_isready', '-q']))
  if (answer.code !== 0)
    throw new Fail('refused', 'the live database does not answer: --in-place brings all of it back')
}
