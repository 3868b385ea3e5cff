import { type Copy, findImage, reader } from './copies.ts'
import type { Cluster } from './database.ts'
import { attempt, codes } from './exclusive.ts'
import { Fail } from './fail.ts'
import { cutHalfPages } from './half-pages.ts'
import type { Host } from './host.ts'
import { stanza } from './pgbackrest.ts'
import { roomShell } from './room.ts'
import { scratchLabel, scratchName } from './scratch.ts'
import type { Session } from './session.ts'
import { lines, type Script, sh } from './sh.ts'
import { restoreOptions, type Target, targetText } from './target.ts'

const hour = 3600
export const dataFolder = '/var/lib/postgresql/data/pgdata'

/**
 * What the scratch container does: restore, recover without archiving anything, serve its socket until it is stopped, and
 * then read every page's checksum, which is its exit code.
 */
const life = `mkdir -p -m 700 "$PGDATA"
pgbackrest --stanza=${stanza} --archive-mode=off "$@" restore
postgres -c listen_addresses= -c archive_mode=off -c fsync=off -c full_page_writes=off -c autovacuum=off &
trap 'kill -INT $!' TERM
wait $! || wait $!
${cutHalfPages}
exec pg_checksums --check`

/**
 * Restores a target from a copy of the repository into a scratch container, and waits until it is out of recovery. Until
 * then a server answers queries too, but with an older state.
 * @throws Fail `refused` when the archive ends before the moment asked for, or the disk has no room; `unverified` when it
 *   cannot be restored
 */
export async function startRecovery(
  server: Host,
  session: Session,
  copy: Copy,
  target: Target,
): Promise<void> {
  const start = sh`docker run -d --name ${scratchName} --label ${scratchLabel} ${reader(copy.dir)} --env ${`PGDATA=${dataFolder}`} --entrypoint timeout "$image" 6h bash -euc ${life} restore ${restoreOptions(target)} > /dev/null`
  const room = sh`room "$(docker info -f '{{.DockerRootDir}}')" ${target.set.bytes.cluster}`
  const wait = recovered(sh`${scratchName}`)
  await attempt(server, session, lines(findImage, roomShell(), room, start, wait), {
    timeout: 6 * hour,
  }).catch((error) => {
    throw explained(error, copy, target)
  })
}

/** Waits until a database container is out of recovery; when it ends before, or starts over and over, its last words tell why. */
export function recovered(container: Script): Script {
  return sh`for _ in $(seq ${6 * hour}); do
  if [ "$(docker exec -u postgres ${container} psql -XAtd postgres -c 'select pg_is_in_recovery()' 2> /dev/null || true)" = f ]; then done=1; break; fi
  case $(docker inspect -f '{{.State.Running}} {{.RestartCount}}' ${container}) in "true 0" | "true 1" | "true 2") ;; *) break ;; esac
  sleep 1
done
if [ -z "\${done:-}" ]; then docker logs --tail 30 ${container} >&2; exit ${codes.unverified}; fi`
}

/** What the words of PostgreSQL and pgBackRest mean to an operator. */
function explained(error: unknown, copy: Copy, target: Target): unknown {
  if (!(error instanceof Fail) || error.outcome !== 'unverified') return error
  const ended = /recovery ended before configured recovery target was reached/.test(error.message)
  if (ended && target.record)
    return new Fail(
      'unverified',
      `${target.set.label} was complete when it was made, but the archive on the ${copy.name} ends before its restore point: WAL there is damaged or missing. Take the other copy (--from), or an older backup (--set).\n${error.message}`,
    )
  const last = /last completed transaction was at log time ([\d-]+ [\d:.]+\S*)/.exec(error.message)?.[1]
  if (ended) {
    const end = last ? `its last change there is of ${last}` : 'nothing was changed after that backup'
    return new Fail(
      'refused',
      `${target.at?.toISOString()} cannot be reached with the archive on the ${copy.name}: ${end}. Ask for an earlier moment, or take the other copy (--from), or another --timeline`,
    )
  }
  return new Fail(
    'unverified',
    `${targetText(target)} could not be restored from the copy on the ${copy.name}. Take the other one (--from), or an older backup (--set).\n${error.message}`,
  )
}

/** The scratch container's database. */
export function scratchDatabase(host: Host): Cluster {
  return { host, find: sh`postgres=${scratchName}` }
}

/**
 * Stops the scratch database, which then reads the checksum of every page.
 * @returns the pages that are damaged, in words; empty: none
 */
export async function pageChecksums(server: Host, session: Session): Promise<string> {
  const script = sh`docker exec -u postgres ${scratchName} pg_ctl stop -D ${dataFolder} -m fast > /dev/null 2>&1 || true
code=$(docker wait ${scratchName})
if [ "$code" -ne 0 ]; then docker logs --tail 12 ${scratchName} 2>&1; fi`
  return attempt(server, session, script, { timeout: 6 * hour, changes: false })
}
