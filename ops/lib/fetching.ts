import { type Copy, own } from './copies.ts'
import { attempt, codes } from './exclusive.ts'
import type { Host } from './host.ts'
import { paths } from './paths.ts'
import { type PhysicalBackup, stanza } from './pgbackrest.ts'
import { owned, pull } from './pull.ts'
import { roomShell } from './room.ts'
import type { Session } from './session.ts'
import { lines, sh } from './sh.ts'
import { noteCatalogue } from './shipping.ts'
import { type Box, boxShell } from './storagebox.ts'
import type { Target } from './target.ts'

/**
 * Copies the catalogue and the records from the Storage Box into a folder of the server.
 * @param into an empty folder, or the server's own repository on a new machine
 * @throws Fail `refused` when the box holds no repository
 */
export async function fetchCatalogue(server: Host, session: Session, box: Box, into: Copy): Promise<void> {
  const from = `${box.account}:${box.dir}`
  const infos = ['--include=*.info', '--include=*.info.copy', '--exclude=*']
  await attempt(
    server,
    session,
    lines(
      boxShell(box),
      pull(box),
      sh`umask 077
mkdir -p ${into.manifests}
# pgBackRest reads either of a file and its copy.
for name in archive backup; do
  info=${`${box.dir}/repository/`}"$name/"${stanza}/"$name.info"
  if ! has "$info" && ! has "$info.copy"; then
    echo "the Storage Box holds no finished repository in this folder" >&2; exit ${codes.refused}
  fi
done
for name in archive backup; do
  mkdir -p ${`${into.dir}/`}"$name/"${stanza}
  pull ${infos} ${`${from}/repository/`}"$name/"${stanza}/ ${`${into.dir}/`}"$name/"${stanza}/
done
# Without records a restore knows less, and still restores.
if has ${`${box.dir}/manifests`}; then pull --include='*.json' --exclude='*' ${`${from}/manifests/`} ${into.manifests}/; fi`,
      owned(into.dir),
      into === own ? noteCatalogue(`${own.dir}/archive/${stanza}/archive.info`) : undefined,
    ),
  )
}

/**
 * Copies what a target needs from the Storage Box: its backups, and the WAL from there on. What lies there already is
 * compared by its content, so that a damaged file is replaced.
 */
export async function fetchTarget(
  server: Host,
  session: Session,
  box: Box,
  into: Copy,
  target: Target,
): Promise<void> {
  const from = `${box.account}:${box.dir}/repository`
  const sets = target.set.needs.map((label) => `${from}/./backup/${stanza}/${label}`)
  const [first, last] = [target.set.wal.start.slice(8), target.until?.slice(8) ?? 'FFFFFFFFFFFFFFFF']
  const archive = `archive/${stanza}`
  await attempt(
    server,
    session,
    lines(
      boxShell(box),
      pull(box),
      roomShell(),
      sh`umask 077
export LC_ALL=C
room ${into.dir} ${target.set.bytes.cluster}
pull --checksum --relative ${sets} ${into.dir}/
list=$(mktemp)
trap 'rm -f "$list"' EXIT
ids=$(box ls ${`${box.dir}/repository/${archive}`})
id=$(grep -E '^[0-9]+-[0-9]+$' <<< "$ids" | sort -t - -k 2 -n | tail -n 1)
box ls ${`${box.dir}/repository/${archive}/`}"$id" > "$list.folders"
first=${first} last=${last}
while read -r name; do
  case $name in
    *.history) echo "$name" ;;
    *) log=\${name:8}; if [[ ! $log < \${first:0:8} && ! $log > \${last:0:8} ]]; then
      box ls ${`${box.dir}/repository/${archive}/`}"$id/$name" | while read -r file; do
        if [[ ! \${file:8:16} < $first && ! \${file:8:16} > $last ]]; then echo "$name/$file"; fi
      done
    fi ;;
  esac
done < "$list.folders" > "$list"
rm -f "$list.folders"
mkdir -p ${`${into.dir}/${archive}/`}"$id"
pull --checksum --files-from="$list" ${`${from}/${archive}/`}"$id/" ${`${into.dir}/${archive}/`}"$id/"`,
      owned(into.dir),
    ),
  )
}

/**
 * Copies all that is missing here of the repository on the box, once it is known that the disk has room for it.
 * @param sets the backups that the catalogue knows: on the box lie others that it has let go of, or that somebody put there
 * @throws Fail `refused` when it would touch the disk's reserve
 */
export async function fetchAll(
  server: Host,
  session: Session,
  box: Box,
  into: Copy,
  sets: readonly PhysicalBackup[],
): Promise<void> {
  const from = `${box.account}:${box.dir}/repository`
  const skip = ['.*', '*.info', '*.info.copy'].map((name) => `--exclude=${name}`)
  const folder = `backup/${stanza}`
  const copy = sh`umask 077
mkdir -p ${`${into.dir}/${folder}`}
sets=$(mktemp)
trap 'rm -f "$sets"' EXIT
cat > "$sets"
all() {
  pull --ignore-existing ${skip} "$@" ${`${from}/archive`} ${into.dir}/
  pull --ignore-existing ${skip} "$@" --files-from="$sets" ${`${from}/${folder}/`} ${`${into.dir}/${folder}/`}
}
missing=$(all --dry-run --stats)
room ${into.dir} "$(awk -F : '/^Total transferred file size:/ { gsub(/[^0-9]/, "", $2); sum += $2 } END { printf "%.0f", sum }' <<< "$missing")"
all`
  const input = sets.map(({ label }) => `${label}\n`).join('')
  await attempt(server, session, lines(boxShell(box), pull(box), roomShell(), copy, owned(into.dir)), {
    input,
  })
}

/** Copies the records of drills from the Storage Box, of which those that are here already stay as they are. */
export async function fetchEvidence(server: Host, session: Session, box: Box): Promise<void> {
  const [from, into] = [`${box.dir}/evidence`, `${paths.evidence}/drills/`]
  const copy = sh`umask 077
if has ${from}; then mkdir -p ${into}; pull --ignore-existing ${`${box.account}:${from}/`} ${into}; fi`
  await attempt(server, session, lines(boxShell(box), pull(box), copy))
}
