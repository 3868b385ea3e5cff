import { recipients, serverBackup } from './backup-files.ts'
import { runningId } from './compose.ts'
import type { Picked } from './env.ts'
import { codes, exclusive } from './exclusive.ts'
import { Fail } from './fail.ts'
import { type Manifest, parseRows } from './manifest.ts'
import { paths } from './paths.ts'
import { lines, type Script, sh } from './sh.ts'

export const database = 'everyskill'

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

/** argv of gpg for making a backup: AES256, no second compression, a key ring of its own that is thrown away. */
function encrypt(env: Picked<'BACKUP_GPG_RECIPIENTS'>): string[] {
  const keys = recipients(env)
  const to =
    keys.length > 0
      ? ['--encrypt', '--trust-model', 'always', ...keys.flatMap((key) => ['--recipient-file', key])]
      : ['--symmetric', '--pinentry-mode', 'loopback', '--passphrase-file', serverBackup.passphrase]
  return [
    'gpg',
    '--batch',
    '--no-tty',
    '--quiet',
    '--no-options',
    '-z',
    '0',
    '--cipher-algo',
    'AES256',
    ...to,
  ]
}

/**
 * Makes LABEL.part: the dump and the roles, encrypted as they come, no plaintext on any disk. `pg_restore` reads the same
 * stream to its end and the rows are counted there, so the manifest tells what the dump holds. Prints facts, one a line.
 * A failure leaves nothing; what a killed run left is removed first.
 */
export function dumpScript(env: Picked<'BACKUP_GPG_RECIPIENTS'>, label: string): Script {
  const keys = recipients(env)
  const needed = keys.length > 0 ? keys : [serverBackup.passphrase]
  const gpg = sh`${encrypt(env)} 8>&-`
  const begin = sh`for file in ${needed}; do [ -r "$file" ] || { echo "$file is missing: bootstrap puts it there" >&2; exit 1; }; done
mkdir -p ${paths.dumps}
cd ${paths.dumps}
work=/run/everyskill-backup part=${`${label}.part`}
rm -rf -- ./*.part "$work"
mkdir "$work" "$part"
export GNUPGHOME="$work"
code=0 reader=''
trap 'code=$?; [ -z "$reader" ] || kill "$reader" 2> /dev/null || true; rm -rf "$work"; [ "$code" -eq 0 ] || rm -rf "$part"' EXIT
trap 'exit 143' TERM INT HUP`
  const ask = sh`ask() { docker exec -u postgres "$postgres" psql -X -v ON_ERROR_STOP=1 -At -d ${database} -c "$1"; }
ask ${`select pg_terminate_backend(pid) from pg_stat_activity where application_name = '${application}'`} > /dev/null`
  const dump = sh`mkfifo "$work/stream"
{ docker exec -i -u postgres "$postgres" pg_restore -f - < "$work/stream" | LC_ALL=C awk ${countRows} > "$work/rows"; } &
reader=$!
docker exec -u postgres -e ${`PGAPPNAME=${application}`} "$postgres" pg_dump -Fc --compress=zstd:3 --lock-wait-timeout=600000 ${database} | tee "$work/stream" | ${gpg} > "$part/database.dump.gpg"
wait "$reader" || { echo "pg_restore could not read the dump to its end" >&2; exit ${codes.unverified}; }
reader=
docker exec -u postgres "$postgres" pg_dumpall --globals-only | ${gpg} > "$part/globals.sql.gpg"`
  const facts = sh`sed "s/^/rows\\t/" "$work/rows"
for file in database.dump.gpg globals.sql.gpg; do
  printf "file\\t%s\\t%s\\t%s\\n" "$file" "$(stat -c %s "$part/$file")" "$(sha256sum < "$part/$file" | cut -d " " -f 1)"
done
printf "postgres\\t%s\\n" "$(ask "show server_version")"
printf "pgvector\\t%s\\n" "$(ask "select extversion from pg_extension where extname = 'vector'")"
release=$(cat ${`${paths.releases}/current`} 2> /dev/null || true)
printf "release\\t%s\\n" "$release"`
  return exclusive(lines(findPostgres, begin, ask, dump, facts, ...keys.map(fingerprint)))
}

function fingerprint(key: string): Script {
  return sh`gpg --batch --no-options --with-colons --show-keys ${key} 8>&- 2> /dev/null | awk -F : '$1 == "fpr" { print "key\\t" $10; exit }'`
}

/** The manifest of what `dumpScript` made, from the facts that it printed. */
export function manifestOf(
  facts: string,
  known: Pick<Manifest, 'label' | 'kind' | 'createdAt' | 'tool'>,
): Manifest {
  const all = facts.split('\n').map((line) => line.split('\t'))
  const value = (name: string) => all.find(([head]) => head === name)?.[1] || null
  const file = (name: string) => {
    const [, , bytes, sha256] = all.find(([head, second]) => head === 'file' && second === name) ?? []
    if (!bytes || !sha256) throw new Fail('failed', `the dump told nothing about ${name}`)
    return { bytes: Number(bytes), sha256 }
  }
  return {
    format: 1,
    ...known,
    database,
    files: { 'database.dump.gpg': file('database.dump.gpg'), 'globals.sql.gpg': file('globals.sql.gpg') },
    rows: parseRows(all.filter(([head]) => head === 'rows').map((row) => row.slice(1).join('\t'))),
    postgres: value('postgres') ?? 'unknown',
    pgvector: value('pgvector'),
    release: value('release'),
    recipients: all.filter(([head]) => head === 'key').map((row) => row[1] ?? ''),
  }
}

/** Makes LABEL.part a backup: the manifest (on stdin) beside the files, all of it on the disk, then the name. */
export function sealScript(label: string): Script {
  return exclusive(sh`cd ${paths.dumps}
part=${`${label}.part`} final=${label}
cat > "$part/manifest.json"
sync "$part"/* "$part"
mv -T "$part" "$final"
sync .`)
}

/** Throws an unfinished LABEL.part away. */
export function discardScript(label: string): Script {
  return exclusive(sh`rm -rf -- ${`${paths.dumps}/${label}.part`}`)
}
