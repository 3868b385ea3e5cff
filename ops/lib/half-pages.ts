/**
 * A disk that was full can leave a table's file with an end that is no whole page: zeros, which PostgreSQL never reads, and
 * overwrites when the table grows. pgBackRest flags such a file, and each later backup that refers to it, like one with a
 * wrong checksum; only the list of wrong pages tells them apart. pg_checksums stops at it.
 * Sources: pgBackRest 2.55, src/command/backup/pageChecksum.c; PostgreSQL 17, mdnblocks() in md.c, scan_file() in pg_checksums.c
 */
import { halfPages, stanza } from './pgbackrest.ts'
import { type Script, sh } from './sh.ts'

const judge = `manifest=$(pgbackrest --stanza=${stanza} repo-get "backup/${stanza}/$1/backup.manifest")
case $manifest in *'"checksum-page-error"'*) exit 0 ;; esac
files=$(sed -n 's/^pg_data\\/\\([^=]*\\)=.*"checksum-page":false.*/\\1/p' <<< "$manifest" | sort)
[ -n "$files" ] || exit 0
pgbackrest --stanza=${stanza} annotate --set="$1" --annotation=${halfPages}="$(wc -l <<< "$files")"
printf "half\\t%s\\n" $files`

/** Annotates the backup `$label` when nothing else was flagged in it, and tells `half`, tab, file. */
export const judgeFlagged: Script = sh`docker exec -u postgres "$postgres" bash -euc ${judge} judge "$label"`

/** Cuts the ends off in a stopped cluster, so that pg_checksums reads all the rest. An end that is not zeros stays, and is told. */
export const cutHalfPages = `find "$PGDATA/base" "$PGDATA/global" -regextype posix-extended -type f -regex '.*/[0-9]+(_[a-z]+)?([.][0-9]+)?' -printf '%s %p\\n' |
while read -r size file; do
  end=$((size % 8192))
  if [ "$end" -gt 0 ] && [ -z "$(tail -c "$end" "$file" | tr -d '\\0')" ]; then truncate -s "-$end" "$file"; fi
done`
