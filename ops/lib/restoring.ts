import { runningId } from './compose.ts'
import { type Cluster, inside, query } from './database.ts'
import { database } from './dump.ts'
import { Fail } from './fail.ts'
import type { Host } from './host.ts'
import type { Session } from './session.ts'
import { lines, sh } from './sh.ts'
import { dropSpares, spares } from './spares.ts'

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
 * A second copy of the database must fit beside the live one, with some air.
 * @throws Fail `refused` when it does not
 */
export async function roomFor(cluster: Cluster): Promise<void> {
  const [size = '0'] = await query(
    cluster,
    'postgres',
    `select coalesce(max(pg_database_size(oid)), 0) from pg_database where datname = '${database}'`,
  )
  const free = await cluster.host.read(
    lines(inside(cluster, ['df', '-B1', '--output=avail', '/var/lib/postgresql/data'])),
  )
  const needed = Number(size) * 1.3 + 256 * 1024 ** 2
  if (Number(free.split('\n').at(-1)) > needed) return
  throw new Fail(
    'refused',
    `a second copy of the database needs ${Math.round(needed / 1024 ** 2)} MB free on the server's disk`,
  )
}

/** Drops databases of restores that were killed before they took the live one's place. */
export async function dropLeftovers(cluster: Cluster, session: Session): Promise<void> {
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
