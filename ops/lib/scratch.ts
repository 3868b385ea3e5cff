import type { Cluster } from './database.ts'
import { findPostgres } from './dump.ts'
import { undoing } from './fail.ts'
import type { Host } from './host.ts'
import { roomForScratch } from './restoring.ts'
import { lines, sh } from './sh.ts'

export const scratchName = 'everyskill-scratch'
export const scratchLabel = 'everyskill.scratch=true'

/** A server that lives for one restore, of the same image as the live one, that no network reaches. */
export function scratchCluster(host: Host): Cluster {
  return { host, find: sh`postgres=${scratchName}` }
}

/**
 * Does work in a scratch server, which is gone afterwards, however the work ended.
 * @param start makes the container
 */
export async function inScratch<T>(
  host: Host,
  start: () => Promise<void>,
  work: () => Promise<T>,
): Promise<T> {
  await removeScratch(host)
  const gone = () => removeScratch(host)
  const value = await start()
    .then(work)
    .catch((error) => undoing(error, gone))
  await gone()
  return value
}

/** Removes the scratch container, also one that a killed run left: one runs at a time, under the restore lock. */
export const removeScratchScript = sh`docker ps -aq --filter ${`label=${scratchLabel}`} | xargs -r docker rm -f --volumes > /dev/null`

/** Removes the scratch container. */
export async function removeScratch(host: Host): Promise<void> {
  await host.run(removeScratchScript)
}

/**
 * Starts an empty scratch server for a dump. Its files live in the container and go with it; left alone it ends after six hours.
 * It yields to the live containers: a sixteenth of their share of the processors.
 * @throws Fail `refused` when the disk has no room for a second copy of the database
 */
export async function startScratch(host: Host): Promise<void> {
  await roomForScratch(host)
  const start = `initdb -D /tmp/scratch -U postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8 --no-sync > /dev/null
exec timeout 6h postgres -D /tmp/scratch -c listen_addresses= -c fsync=off -c full_page_writes=off -c autovacuum=off -c maintenance_work_mem=256MB`
  const limits = sh`--network none --user postgres --cap-drop ALL --security-opt no-new-privileges --cpu-shares 64 --memory 4g --pids-limit 256 --shm-size 512m`
  await host.run(
    lines(
      findPostgres,
      sh`image=$(docker inspect -f '{{.Image}}' "$postgres")
docker run -d --rm --name ${scratchName} --label ${scratchLabel} ${limits} --entrypoint bash "$image" -euc ${start} > /dev/null
for _ in $(seq 300); do
  if docker exec ${scratchName} pg_isready -q 2> /dev/null; then exit 0; fi
  sleep 0.2
done
docker logs --tail 20 ${scratchName} >&2
exit 1`,
    ),
    { timeout: 120 },
  )
}
