import { database, findPostgres } from './dump.ts'
import { attempt } from './exclusive.ts'
import { Fail } from './fail.ts'
import type { Host } from './host.ts'
import { parseRows, type Rows } from './manifest.ts'
import type { Session } from './session.ts'
import { lines, type Script, sh } from './sh.ts'

/** A database server in a container: a script that sets `$postgres` to its id, and where it runs. */
export interface Cluster {
  host: Host
  find: Script
}

/** The names that an in-place restore leaves behind; only these are ever dropped. */
const spare = /^everyskill_(before|undone|restore)_\d{8}t\d{6}z$/

/** The live cluster of the server. */
export function liveCluster(host: Host): Cluster {
  return { host, find: findPostgres }
}

/** A spare database's name: `before` holds what was live, `undone` what an undo took back, `restore` what is being made. */
export function spareName(kind: 'before' | 'undone' | 'restore', label: string): string {
  return `everyskill_${kind}_${label.toLowerCase()}`
}

/** The kept database that was live last: what an undo goes back to, or what an undo took back. */
export function lastKept(names: readonly string[]): string | undefined {
  const kept = names.filter((name) => isSpare(name) && !name.includes('_restore_'))
  return kept.sort((a, b) => a.slice(-16).localeCompare(b.slice(-16))).at(-1)
}

/** Whether a database is a spare one. */
export function isSpare(name: string): boolean {
  return spare.test(name)
}

/** A script of the cluster's own tools; what follows is run as `postgres` in the container, stdin passed on. */
export function inside(cluster: Cluster, words: readonly string[]): Script {
  return lines(cluster.find, sh`docker exec -i -u postgres "$postgres" ${words}`)
}

const psql = (name: string) => ['psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-At', '-F', '\t', '-d', name]

/** Asks a database; the SQL travels on stdin. One row a line, columns separated by tabs. */
export async function query(cluster: Cluster, name: string, sql: string, timeout = 3600): Promise<string[]> {
  const text = await cluster.host.read(inside(cluster, psql(name)), { input: sql, timeout })
  return text.split('\n').filter((line) => line !== '')
}

/** Runs SQL that changes something. */
export async function execute(cluster: Cluster, session: Session, name: string, sql: string): Promise<void> {
  if (session.dryRun) session.wouldRun(`${cluster.host.name} psql ${name}`, sql.trim())
  else await attempt(cluster.host, session, inside(cluster, psql(name)), { input: sql })
}

/** The rows of each table: the tables that a dump holds, so not those of extensions. */
export async function countTables(cluster: Cluster, name: string): Promise<Rows> {
  return parseRows(await query(cluster, name, `${forTables(`select %L, count(*) from only %I.%I`, 'true')}`))
}

/** The newest moment in any created/updated column up to the given one; undefined when there is none. */
export async function newestRow(cluster: Cluster, name: string, until: string): Promise<Date | undefined> {
  const sql = `set timezone = 'UTC';
select format('select to_char(max(%1$I)::timestamptz, ''YYYY-MM-DD"T"HH24:MI:SS"Z"'') from only %2$I.%3$I where %1$I <= %4$L', attname, nspname, relname, '${until}')
from pg_attribute a join pg_class c on c.oid = attrelid join pg_namespace n on n.oid = relnamespace
where relkind = 'r' and nspname !~ '^pg_' and nspname <> 'information_schema' and not attisdropped
  and atttypid in ('timestamptz'::regtype, 'timestamp'::regtype) and attname ~* 'created|updated|inserted' \\gexec`
  const newest = (await query(cluster, name, sql)).sort().at(-1)
  return newest ? new Date(newest) : undefined
}

/** The version of pgvector in a database; null without it. */
export async function pgvectorIn(cluster: Cluster, name: string): Promise<string | null> {
  return (
    (await query(cluster, name, `select extversion from pg_extension where extname = 'vector'`))[0] ?? null
  )
}

/** The spare databases of a cluster, with their sizes. */
export async function spares(cluster: Cluster): Promise<{ name: string; size: string }[]> {
  const rows = await query(
    cluster,
    'postgres',
    `select datname, pg_size_pretty(pg_database_size(oid)) from pg_database order by datname`,
  )
  return rows
    .map((row) => row.split('\t'))
    .filter(([name = '']) => isSpare(name))
    .map(([name = '', size = '']) => ({ name, size }))
}

/** Drops spare databases, whoever is connected to them. */
export async function dropSpares(
  cluster: Cluster,
  session: Session,
  names: readonly string[],
): Promise<void> {
  for (const name of names) {
    if (!isSpare(name)) throw new Fail('refused', `${name} is not a database that a restore left behind`)
    await execute(cluster, session, 'postgres', `drop database if exists ${name} with (force)`)
  }
}

function forTables(statement: string, where: string): string {
  return `select format('${statement}', format('%I.%I', nspname, relname), nspname, relname)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where relkind = 'r' and relpersistence <> 't' and nspname !~ '^pg_' and nspname <> 'information_schema' and ${where}
  and not exists (select from pg_depend d where d.objid = c.oid and d.classid = 'pg_class'::regclass and d.deptype = 'e')
order by 1 \\gexec`
}

/**
 * Makes an empty database like the live one: owner, encoding, locale; then its grants and settings, which belong to the
 * database and are in no dump without --create.
 */
export async function createLike(cluster: Cluster, session: Session, name: string): Promise<void> {
  const sql = `
select format('create database ${name} template template0 owner %I encoding %L locale_provider %s lc_collate %L lc_ctype %L%s',
  pg_get_userbyid(datdba), pg_encoding_to_char(encoding), case datlocprovider when 'i' then 'icu' when 'b' then 'builtin' else 'libc' end,
  datcollate, datctype, case datlocprovider when 'i' then format(' icu_locale %L', datlocale) when 'b' then format(' builtin_locale %L', datlocale) else '' end)
from pg_database where datname = '${database}' \\gexec
select 'create database ${name} template template0 owner everyskill' where not exists (select from pg_database where datname = '${name}') \\gexec
select 'revoke all on database ${name} from public' from pg_database where datname = '${database}' and datacl is not null \\gexec
select format('grant %s on database ${name} to %s', privilege_type, case grantee when 0 then 'public' else grantee::regrole::text end)
from pg_database, aclexplode(datacl) where datname = '${database}' \\gexec
select format('alter %s set %I to %s', case setrole when 0 then 'database ${name}' else format('role %s in database ${name}', setrole::regrole) end,
  split_part(setting, '=', 1), case when split_part(setting, '=', 1) ~ 'search_path|_libraries|tablespaces' then value else quote_literal(value) end)
from pg_db_role_setting s join pg_database d on d.oid = setdatabase, unnest(setconfig) as setting,
  substr(setting, position('=' in setting) + 1) as value where datname = '${database}' \\gexec
`
  await execute(cluster, session, 'postgres', sql)
}

/**
 * Puts a database in the live one's place, which becomes `keepAs`: both renames in one transaction, so that a death at any
 * moment leaves either the old or the new one live. The rename locks the database before it waits (5 s) for its sessions to
 * end: those are ended from a second session meanwhile, by the old database's id, and new ones wait for the commit.
 */
export async function swap(cluster: Cluster, session: Session, from: string, keepAs: string): Promise<void> {
  const admin = ['docker', 'exec', '-i', '-u', 'postgres']
  const end = `select count(pg_terminate_backend(pid)) from pg_stat_activity where datid = `
  const script = sh`old=$(${admin} "$postgres" psql -X -At -d postgres -c ${`select oid from pg_database where datname = '${database}'`} < /dev/null)
if [ -n "$old" ]; then
  for _ in $(seq 70); do echo ${end} "$old;"; sleep 0.1; done | ${admin} "$postgres" ${psql('postgres')} > /dev/null 2>&1 &
  ender=$!
  trap 'kill "$ender" 2> /dev/null || true' EXIT
fi
${admin} "$postgres" ${psql('postgres')}`
  const sql = `begin;
select 'alter database ${database} rename to ${keepAs}' where exists (select from pg_database where datname = '${database}') \\gexec
alter database ${from} rename to ${database};
commit;
select 'swapped';`
  if (session.dryRun) return execute(cluster, session, 'postgres', sql)
  const said = await attempt(cluster.host, session, lines(cluster.find, script), { input: sql, timeout: 60 })
  if (said !== 'swapped') throw new Fail('failed', `the databases did not change places: ${said}`)
}
