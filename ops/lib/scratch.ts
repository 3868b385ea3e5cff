import type { Cluster } from './database.ts'
import { findPostgres } from './dump.ts'
import type { Host } from './host.ts'
import { roomForScratch } from './restoring.ts'
import type { Session } from './session.ts'
import { lines, sh } from './sh.ts'

const name = 'everyskill-scratch'
const label = 'everyskill.scratch=true'

/** A server that lives for one restore, of the same image as the live one, that no network reaches. */
export function scratchCluster(host: Host): Cluster {
  return { host, find: sh`postgres=${name}` }
}

/**
 * Does work in a scratch server, which is gone afterwards, however the work ended.
 * @throws Fail `refused` when the disk has no room for a second copy of the database
 */
export async function inScratch(
  host: Host,
  session: Session,
  work: (scratch: Cluster) => Promise<void>,
): Promise<void> {
  await removeScratch(host)
  await roomForScratch(host)
  try {
    await session.step('start a scratch server', () => startScratch(host))
    await work(scratchCluster(host))
  } catch (error) {
    await removeScratch(host).catch((also: Error) => session.say(`${name} stays: ${also.message}`))
    throw error
  }
  await removeScratch(host)
}

/** Removes the scratch container, also one that a killed run left: one runs at a time, under the restore lock. */
export async function removeScratch(host: Host): Promise<void> {
  await host.run(
    lines(sh`docker ps -aq --filter ${`label=${label}`} | xargs -r docker rm -f --volumes > /dev/null`),
  )
}

/**
 * Starts an empty scratch server. Its files live in the container and go with it; left alone it ends after six hours.
 * It yields to the live containers: a sixteenth of their share of the processors.
 */
export async function startScratch(host: Host): Promise<void> {
  const start = `initdb -D /tmp/scratch -U postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8 --no-sync > /dev/null
exec timeout 6h postgres -D /tmp/scratch -c listen_addresses= -c fsync=off -c full_page_writes=off -c autovacuum=off -c maintenance_work_mem=256MB`
  const limits = sh`--network none --user postgres --cap-drop ALL --security-opt no-new-privileges --cpu-shares 64 --memory 4g --pids-limit 256 --shm-size 512m`
  await host.run(
    lines(
      findPostgres,
      sh`image=$(docker inspect -f '{{.Image}}' "$postgres")
docker run -d --rm --name ${name} --label ${label} ${limits} --entrypoint bash "$image" -euc ${start} > /dev/null
for _ in $(seq 300); do
  if docker exec ${name} pg_isready -q 2> /dev/null; then exit 0; fi
  sleep 0.2
done
docker logs --tail 20 ${name} >&2
exit 1`,
    ),
    { timeout: 120 },
  )
}
