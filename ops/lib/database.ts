import { findPostgres } from './dump.ts'
import { attempt } from './exclusive.ts'
import type { Host } from './host.ts'
import { parseRows, type Rows } from './manifest.ts'
import type { Session } from './session.ts'
import { lines, type Script, sh } from './sh.ts'

/** A database server in a container: a script that sets `$postgres` to its id, and where it runs. */
export interface Cluster {
  host: Host
  find: Script
}

/** The live cluster of the server. */
export function liveCluster(host: Host): Cluster {
  return { host, find: findPostgres }
}

/** A script of the cluster's own tools; what follows is run as `postgres` in the container, stdin passed on. */
export function inside(cluster: Cluster, words: readonly string[]): Script {
  return lines(cluster.find, sh`docker exec -i -u postgres "$postgres" ${words}`)
}

/** argv of psql for a database: no start-up file, rows without decoration, the first error ends it. */
export const psql = (name: string) => [
  'psql',
  '-X',
  '-q',
  '-v',
  'ON_ERROR_STOP=1',
  '-At',
  '-F',
  '\t',
  '-d',
  name,
]

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

function forTables(statement: string, where: string): string {
  return `select format('${statement}', format('%I.%I', nspname, relname), nspname, relname)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where relkind = 'r' and relpersistence <> 't' and nspname !~ '^pg_' and nspname <> 'information_schema' and ${where}
  and not exists (select from pg_depend d where d.objid = c.oid and d.classid = 'pg_class'::regclass and d.deptype = 'e')
order by 1 \\gexec`
}
