import { psql } from './database.ts'
import { database } from './dump.ts'
import { type Script, sh } from './sh.ts'

/** Tables whose rows take more bytes than this are not counted: it would read them all every hour. */
const countedBytes = 256 * 1024 ** 2

/**
 * SQL: sets a restore point and counts the rows that are there at this very point. For the moment between its two
 * statements no counted table can be written: SHARE locks, taken before the snapshot of a REPEATABLE READ transaction and
 * given back by the rollback to a savepoint, which keeps the snapshot (PostgreSQL manual, 13.2 and LOCK). Counting
 * then holds nobody up. It waits at most 0.1 s for a lock, and fails then.
 * The first statement commits something: PostgreSQL knows that a moment is over only by a later commit (recovery_target_time).
 */
const mark = `
do $$ begin perform pg_current_xact_id(); end $$;
select coalesce(string_agg(format('only %I.%I', nspname, relname), ', '), '') as tables, count(*) > 0 as some,
  coalesce(string_agg(format('select %L as t, count(*) from only %I.%I', format('%I.%I', nspname, relname), nspname, relname), ' union all '), '') as counts
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where relkind = 'r' and relpersistence = 'p' and nspname !~ '^pg_' and nspname <> 'information_schema'
  and pg_relation_size(c.oid) <= ${countedBytes} and :count
  and not exists (select from pg_depend d where d.objid = c.oid and d.classid = 'pg_class'::regclass and d.deptype = 'e') \\gset
begin isolation level repeatable read;
savepoint unlocked;
set local lock_timeout = '100ms';
\\if :some
lock table :tables in share mode;
\\endif
select pg_create_restore_point(:'point') as lsn \\gset
rollback to savepoint unlocked;
select 'lsn', :'lsn';
select 'segment', pg_walfile_name(:'lsn');
\\if :some
select 'rows', * from (:counts) c order by 1, 2;
\\endif
commit;
select 'postgres', current_setting('server_version');
select 'pgvector', extversion from pg_extension where extname = 'vector';
select 'system', system_identifier from pg_control_system();
`

/**
 * Sets a restore point of the given name and prints facts about it, one a line. When a table stays locked by somebody for
 * half a minute, the point is set without counting: `busy` says so.
 */
export function markScript(point: string): Script {
  return sh`mark() { docker exec -i -u postgres "$postgres" ${psql(database)} -v ${`point=${point}`} -v "count=$1" <<< ${mark}; }
marked='' said=$(mktemp) failed=$(mktemp)
trap 'rm -f "$said" "$failed"' EXIT
for _ in $(seq 15); do
  if mark true > "$said" 2> "$failed"; then marked=1; break; fi
  grep -q "lock timeout" "$failed" || { cat "$failed" >&2; exit 1; }
  sleep 2
done
if [ -z "$marked" ]; then mark false > "$said"; printf "busy\\tyes\\n"; fi
cat "$said"`
}
