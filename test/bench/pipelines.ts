/** What is compared, as bash that runs in the server's container: each pipeline whole, so that all of its CPU is counted. */
import { serverBackup } from '../../ops/lib/backup-files.ts'
import { countRows, database, pgDump } from '../../ops/lib/dump.ts'
import { encrypt } from '../../ops/lib/sealing.ts'
import { quote } from '../../ops/lib/sh.ts'
import { FILES } from './containers.ts'
import { indexMemory } from './data.ts'

const passphrase = `${FILES}/passphrase`
const recipient = `${FILES}/recipient.asc`
const stanza = 'pgbackrest --stanza=everyskill'
const argv = (words: readonly string[]) => words.map(quote).join(' ')

/** Where the pipelines leave what they make. */
export const made = { seed: `${FILES}/seed.sql.gz.gpg`, dump: `${FILES}/database.dump.gpg` } as const

/** Makes a passphrase for the one and a key pair for the other. */
export const keys = `head -c 24 /dev/urandom | base64 > ${passphrase}
gpg --batch --quiet --passphrase '' --pinentry-mode loopback --quick-generate-key bench default default never
gpg --batch --armor --export bench > ${recipient}`

/**
 * The pipeline that this repository takes the place of: an hourly pg_dump | gzip | gpg. On a server the last two run outside
 * the container, behind `docker exec`, whose cost is not counted here.
 */
export const seed = {
  backup: `pg_dump ${database} | gzip |
  gpg --batch --yes --symmetric --cipher-algo AES256 --passphrase-file ${passphrase} > ${made.seed}`,
  /** The session may build the index in memory; the server's own setting would let it take longer. */
  restore: `createdb restored
gpg --batch --quiet --decrypt --passphrase-file ${passphrase} ${made.seed} | gunzip |
  PGOPTIONS='-c maintenance_work_mem=${indexMemory}' psql -XqAt -v ON_ERROR_STOP=1 -d restored`,
} as const

const gpg = argv(
  encrypt({ BACKUP_GPG_RECIPIENTS: recipient }).map((word) =>
    word === serverBackup.recipient(0) ? recipient : word,
  ),
)

export const ours = {
  full: `${stanza} --type=full --repo1-retention-full=90 backup`,
  incremental: `${stanza} --type=incr --repo1-retention-full=90 backup`,
  /** Until the server takes writes: before that it answers without the last changes. */
  restore: `${stanza} --archive-mode=off restore
pg_ctl --wait --timeout=900 --silent --log=${FILES}/restored.log start || { tail ${FILES}/restored.log >&2; exit 1; }
until [ "$(psql -XAtc 'select pg_is_in_recovery()')" = f ]; do sleep 0.1; done`,
  dump: `${argv(pgDump)} ${database} | ${gpg} > ${made.dump}`,
  /** As ops/backup.ts makes it: it also reads the dump to its end and counts its rows. */
  dumpCounted: `rm -f ${FILES}/stream; mkfifo ${FILES}/stream
{ pg_restore -f - < ${FILES}/stream | LC_ALL=C awk ${quote(countRows)} > ${FILES}/rows; } &
${argv(pgDump)} ${database} | tee ${FILES}/stream | ${gpg} > ${made.dump}
wait $!`,
} as const

/** Prints the bytes of a file, or of all files under a folder. */
export const bytesOf = (path: string) => `du --summarize --bytes ${path} | cut -f 1`

/** Prints the bytes of the newest backup in the repository. */
export const newestBackup = `cd /var/lib/pgbackrest/backup/everyskill
label=$(ls -d 20* | sort | tail -n 1)
${bytesOf('"$label"')}`

/** Closes the WAL segment, waits until it is archived, and prints the bytes of all archived WAL. */
export const archived = `${stanza} check
${bytesOf('/var/lib/pgbackrest/archive')}`

/** Prints `name version` lines. */
export const versions = `psql -XAtc "select 'PostgreSQL ' || split_part(current_setting('server_version'), ' ', 1)"
psql -XAtc "select 'pgvector ' || extversion from pg_extension where extname = 'vector'"
pgbackrest version
gpg --version | head -n 1 | sed 's/.*) /GnuPG /'
gzip --version | head -n 1`
