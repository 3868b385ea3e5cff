import { type Cluster, execute, psql, query } from './database.ts'
import { database } from './dump.ts'
import { attempt } from './exclusive.ts'
import { Fail } from './fail.ts'
import type { Session } from './session.ts'
import { lines, sh } from './sh.ts'

/** The names that an in-place restore leaves behind; only these are ever dropped. */
const spare = /^everyskill_(before|undone|restore)_\d{8}t\d{6}z$/

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
 * end: those are ended from a second session meanwhile, by the old database's id. New ones wait for the commit; PostgreSQL
 * then tells those that the name they asked for was renamed, and they have to connect again.
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
