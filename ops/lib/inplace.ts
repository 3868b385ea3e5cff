import { runningId } from './compose.ts'
import { findImage, own, reader } from './copies.ts'
import { attempt, exclusive } from './exclusive.ts'
import { Fail } from './fail.ts'
import type { Host } from './host.ts'
import { stanza } from './pgbackrest.ts'
import { recovered } from './recovery.ts'
import { roomShell } from './room.ts'
import type { Session } from './session.ts'
import { lines, sh } from './sh.ts'
import { restoreOptions, type Target } from './target.ts'

/**
 * Folders in the database's volume: `pgdata` is live; `restoring` is being made; `before-…` was live before a restore took
 * its place, `undone-…` before an undo did.
 */
const spare = /^(before|undone)-\d{8}T\d{6}Z$/

/** Sets `$data` to the folder of the database's volume. */
export const findData = sh`data=$(docker volume inspect -f '{{.Mountpoint}}' everyskill_postgres_data)`

/**
 * Puts the files of a target beside the live cluster, which goes on serving: a copy of its files first, of which pgBackRest
 * then rewrites only what differs. What a killed run left is taken up.
 * @throws Fail `refused` when the disk has no room for a second cluster
 */
export async function restoreBeside(server: Host, session: Session, target: Target): Promise<void> {
  const options = ['--delta', ...restoreOptions(target), 'restore']
  const run = sh`docker run --rm ${reader(own.dir)} --volume "$data/restoring:/var/lib/postgresql/data/pgdata" --entrypoint pgbackrest "$image" ${[`--stanza=${stanza}`, ...options]}`
  const script = lines(
    findImage,
    findData,
    roomShell(),
    sh`rm -rf "$data"/failed-*
if [ ! -f "$data/restoring/PG_VERSION" ]; then rm -rf "$data/restoring"; fi
if [ ! -d "$data/restoring" ]; then
  room "$data" ${target.set.bytes.cluster}
  if [ -f "$data/pgdata/PG_VERSION" ]; then
    # 24: files vanish while a live cluster is copied; what is wrong in the copy is rewritten.
    rsync -a --exclude=/postmaster.pid --exclude='/pg_wal/*' "$data/pgdata/" "$data/restoring/" || [ $? -eq 24 ]
  else
    install -d -o 999 -g 999 -m 0700 "$data/restoring"
  fi
fi`,
    run,
  )
  await attempt(server, session, exclusive(script))
}

/**
 * Stops the database, puts a folder in the place of the live one, which is kept, starts the database and waits until it is
 * out of recovery. Dies it between the two renames, the container stays stopped and the entrypoint makes no new database
 * (docker/initdb/10-roles.sh): the same call, or an undo, goes on from there.
 * @param from the folder that becomes live
 * @param keepAs the name that the live one gets
 */
export async function changeClusters(
  server: Host,
  session: Session,
  from: string,
  keepAs: string,
): Promise<void> {
  const script = sh`id=$(docker ps -aq --no-trunc --filter label=com.docker.compose.project=everyskill --filter label=com.docker.compose.service=postgres)
[ -n "$id" ] || { echo "there is no postgres container: tsx ops/deploy.ts" >&2; exit 1; }
[ -d "$data/"${from} ] || { echo ${`${from} is not there`} >&2; exit 1; }
docker stop --time 60 "$id" > /dev/null
if [ -d "$data/pgdata" ] && [ ! -f "$data/pgdata/PG_VERSION" ]; then rm -rf "$data/pgdata"; fi
if [ -d "$data/pgdata" ]; then mv -T "$data/pgdata" "$data/"${keepAs}; fi
mv -T "$data/"${from} "$data/pgdata"
sync "$data"
docker start "$id" > /dev/null`
  await attempt(server, session, exclusive(lines(findData, script, recovered(sh`"$id"`))))
}

/** Writes what the live database has not archived yet into the archive, so that nothing is out of reach later. */
export async function archiveRest(server: Host, session: Session): Promise<void> {
  const script = sh`postgres=$(${runningId('postgres')})
[ -z "$postgres" ] || docker exec -u postgres "$postgres" pgbackrest ${`--stanza=${stanza}`} check`
  await attempt(server, session, script, { timeout: 180 })
}

/** Clusters that restores kept, with their sizes, the oldest first. */
export async function keptClusters(server: Host): Promise<{ name: string; bytes: number }[]> {
  const text = await server.read(
    sh`data=$(docker volume inspect -f '{{.Mountpoint}}' everyskill_postgres_data 2> /dev/null) || exit 0
cd "$data"; for name in before-* undone-*; do if [ -d "$name" ]; then printf "%s\\t%s\\n" "$name" "$(du -sB1 "$name" | cut -f 1)"; fi; done`,
    { timeout: 600 },
  )
  const rows = text.split('\n').map((line) => line.split('\t'))
  const kept = rows.filter(([name = '']) => spare.test(name))
  return kept
    .map(([name = '', bytes]) => ({ name, bytes: Number(bytes) }))
    .sort((a, b) => a.name.slice(-16).localeCompare(b.name.slice(-16)))
}

/** Kept clusters for a person. */
export function clustersText(kept: readonly { name: string; bytes: number }[]): string {
  const text = kept.map(({ name, bytes }) => `${name} (${Math.round(bytes / 1024 ** 2)} MB)`)
  return text.join('\n') || 'no restore kept a cluster'
}

/** Deletes a kept cluster. @throws Fail `refused` when a restore did not keep it */
export async function dropCluster(server: Host, session: Session, name: string): Promise<void> {
  if (!spare.test(name)) throw new Fail('refused', `${name} is not a cluster that a restore kept`)
  await attempt(server, session, lines(findData, sh`rm -rf "$data/"${name}`), { timeout: 1800 })
}
