import { runningId } from './compose.ts'
import { codes } from './exclusive.ts'
import { lines, type Script, sh } from './sh.ts'

export const database = 'everyskill'

/** argv of pg_dump for a backup; the name of the database follows. */
export const pgDump = ['pg_dump', '-Fc', '--compress=zstd:1', '--lock-wait-timeout=600000'] as const

/** Sessions of a dump carry this name in pg_stat_activity. */
const application = 'everyskill-backup'

/**
 * awk: the rows of each COPY block of a plain dump, as `schema.table<TAB>rows`. A row is one line, for COPY escapes line ends.
 */
export const countRows = `
inside { if ($0 == "\\\\.") { printf "%s\\t%d\\n", table, rows; inside = 0 } else rows++; next }
/^COPY .* FROM stdin;$/ {
  table = substr($0, 6); sub(/ FROM stdin;$/, "", table)
  if (match(table, /^("[^"]*"|[^" ])+ /)) table = substr(table, 1, RLENGTH - 1)
  rows = 0; inside = 1
}
END { exit inside }`

/** Sets `$postgres` to the id of the running database container. */
export const findPostgres = lines(
  sh`postgres=$(${runningId('postgres')})`,
  sh`[ -n "$postgres" ] || { echo "no postgres container of the everyskill project runs here: deploy first" >&2; exit 1; }`,
)

/**
 * Fills the part of a dump: the database and the roles. `pg_restore` reads the same stream to its end and the rows are
 * counted there, so the manifest tells what the dump holds.
 */
export function dumpFiles(gpg: Script): Script {
  const ask = sh`ask() { docker exec -u postgres "$postgres" psql -X -v ON_ERROR_STOP=1 -At -d ${database} -c "$1"; }
ask ${`select pg_terminate_backend(pid) from pg_stat_activity where application_name = '${application}'`} > /dev/null`
  const dump = sh`mkfifo "$work/stream"
{ docker exec -i -u postgres "$postgres" pg_restore -f - < "$work/stream" | LC_ALL=C awk ${countRows} > "$work/rows"; } &
reader=$!
docker exec -u postgres -e ${`PGAPPNAME=${application}`} "$postgres" ${pgDump} ${database} | tee "$work/stream" | ${gpg} > "$part/database.dump.gpg"
wait "$reader" || { echo "pg_restore could not read the dump to its end" >&2; exit ${codes.unverified}; }
reader=
docker exec -u postgres "$postgres" pg_dumpall --globals-only | ${gpg} > "$part/globals.sql.gpg"`
  const facts = sh`sed "s/^/rows\\t/" "$work/rows"
printf "postgres\\t%s\\n" "$(ask "show server_version")"
printf "pgvector\\t%s\\n" "$(ask "select extversion from pg_extension where extname = 'vector'")"`
  return lines(findPostgres, ask, dump, facts)
}
