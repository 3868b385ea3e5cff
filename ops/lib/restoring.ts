import { runningId } from './compose.ts'
import { type Cluster, inside, liveCluster, query } from './database.ts'
import { database } from './dump.ts'
import { Fail } from './fail.ts'
import type { Host } from './host.ts'
import { labelAt } from './manifest.ts'
import type { Session } from './session.ts'
import { lines, type Script, sh } from './sh.ts'
import { dropSpares, spareName, spares, swap } from './spares.ts'

const hours = 6 * 3600

/** awk: what a dump of the roles says about roles that the cluster does not have; the others keep their passwords. */
const missingRoles = `
BEGIN { n = split(ENVIRON["HAVE"], names, "\\n"); for (i = 1; i <= n; i++) have[names[i]] = 1 }
/^(CREATE|ALTER) ROLE / { name = $3; sub(/;$/, "", name); if (name in have) next }
/^GRANT .* TO / { name = $0; sub(/^GRANT .* TO /, "", name); sub(/[ ;].*$/, "", name); if (name in have) next }
{ print }`

/** Makes the roles that the dump knows and the cluster does not. */
export async function restoreRoles(cluster: Cluster, gpg: readonly string[], file: string): Promise<void> {
  const script = lines(
    cluster.find,
    sh`psql() { docker exec -i -u postgres "$postgres" psql -X -q -v ON_ERROR_STOP=1 -At -d postgres "$@"; }
HAVE=$(psql -c "select quote_ident(rolname) from pg_roles" < /dev/null)
export HAVE
awk ${missingRoles} | psql > /dev/null`,
  )
  await cluster.host.feed([...gpg, file], script, hours)
}

/** Restores a dump into an empty database: all of it or nothing, the first error ends it. */
export async function restoreDatabase(
  cluster: Cluster,
  gpg: readonly string[],
  file: string,
  name: string,
): Promise<void> {
  const words = ['pg_restore', '--exit-on-error', '--single-transaction', '-d', name]
  await cluster.host.feed([...gpg, file], inside(cluster, words), hours)
}

/**
 * A second copy of the database must fit beside the live one, with some air, once what killed restores left is dropped.
 * @throws Fail `refused` when it does not
 */
export async function makeRoom(cluster: Cluster, session: Session): Promise<void> {
  await dropLeftovers(cluster, session)
  return enough(cluster, inside(cluster, ['df', '-B1', '--output=avail', '/var/lib/postgresql/data']))
}

/**
 * The same for a copy in a scratch container: where the engine keeps its containers.
 * @throws Fail `refused` when it does not fit
 */
export async function roomForScratch(host: Host): Promise<void> {
  return enough(liveCluster(host), sh`df -B1 --output=avail "$(docker info -f '{{.DockerRootDir}}')"`)
}

async function enough(cluster: Cluster, df: Script): Promise<void> {
  const [size = '0'] = await query(
    cluster,
    'postgres',
    `select coalesce(max(pg_database_size(oid)), 0) from pg_database where datname = '${database}'`,
  )
  const free = Number((await cluster.host.read(df)).trim().split('\n').at(-1))
  const needed = Number(size) * 1.3 + 256 * 1024 ** 2
  if (free > needed) return
  const mb = (bytes: number) => `${Math.round(bytes / 1024 ** 2)} MB`
  throw new Fail(
    'refused',
    `a second copy of the database (${mb(Number(size))}) needs ${mb(needed)} free on the server's disk; ${mb(free)} are`,
  )
}

/** Drops databases of restores that were killed before they took the live one's place. */
async function dropLeftovers(cluster: Cluster, session: Session): Promise<void> {
  const names = (await spares(cluster)).map((one) => one.name)
  await dropSpares(
    cluster,
    session,
    names.filter((name) => name.includes('_restore_')),
  )
}

/**
 * Waits until each running web container says that its database answers.
 * @returns how many there are
 * @throws Fail `unverified` after half a minute
 */
export async function healthy(host: Host): Promise<number> {
  const ids = (await host.read(lines(runningId('web-blue'), runningId('web-green'))))
    .split('\n')
    .filter((id) => id !== '')
  const ask =
    "fetch('http://127.0.0.1:2000/api/health', { signal: AbortSignal.timeout(5000) }).then((a) => process.exit(a.ok ? 0 : 1), () => process.exit(1))"
  for (const id of ids) {
    const answer = await host.probe(
      sh`for _ in $(seq 30); do if docker exec ${id} node -e ${ask}; then exit 0; fi; sleep 1; done; exit 1`,
      { timeout: 240 },
    )
    if (answer.code !== 0)
      throw new Fail('unverified', 'the app does not answer /api/health on the restored database')
  }
  return ids.length
}

/** Asks the app on the restored database; when it does not answer, what was live comes back, and the error goes on. */
export async function askOrGoBack(cluster: Cluster, session: Session, kept: string): Promise<void> {
  try {
    await session.step('ask the app', () => healthy(cluster.host))
  } catch (error) {
    const undone = spareName('undone', labelAt(new Date()))
    const back = session.step(`put ${kept} back, keep ${undone}`, () => swap(cluster, session, kept, undone))
    await back.catch((also: Error) =>
      session.say(`${kept} was not put back (--undo does it): ${also.message}`),
    )
    throw error
  }
}
