import { findPostgres } from './dump.ts'
import { attempt, exclusive } from './exclusive.ts'
import { Fail } from './fail.ts'
import { judgeFlagged } from './half-pages.ts'
import type { Host } from './host.ts'
import { labelAt } from './manifest.ts'
import { markScript } from './marking.ts'
import { paths } from './paths.ts'
import { parseInfo, pgbackrest, type Repository, stanza } from './pgbackrest.ts'
import { revision } from './recorded.ts'
import { roomShell } from './room.ts'
import type { Session } from './session.ts'
import { recordOf, type SetRecord } from './set.ts'
import { lines, type Script, sh } from './sh.ts'

const folder = `${paths.repository}/backup/${stanza}`

/**
 * 50: another pgBackRest holds a lock in the container: one that a killed run left behind or, for what locks the archive
 * too, the one that archives WAL right now. It is waited for, ten minutes. Source: pgBackRest, src/common/lock.c.
 */
const waiting = sh`waiting() {
  for _ in $(seq 600); do
    code=0; "$@" || code=$?
    if [ "$code" -ne 50 ]; then break; fi
    sleep 1
  done
  if [ "$code" -ne 0 ]; then echo "pgBackRest ended with $code" >&2; exit 1; fi
}`

/**
 * Makes the repository, or proves that the one that is there belongs to this database. Safe to run again.
 * It ends with a WAL segment that was archived for the proof.
 */
export function stanzaScript(): Script {
  const create = sh`waiting ${pgbackrest(['stanza-create'])}`
  return exclusive(lines(findPostgres, waiting, create, pgbackrest(['check'])))
}

/**
 * Makes a physical backup, sets a restore point behind it, counts the rows at that point and waits until the archive has
 * it. pgBackRest then forgets what is older than the retention.
 * @param days how long backups are kept
 * @returns its record; undefined in a dry run
 * @throws Fail `refused` when the backup would touch the disk's reserve
 */
export async function makePhysical(
  server: Host,
  session: Session,
  type: 'full' | 'incr',
  days: number,
): Promise<SetRecord | undefined> {
  const point = `backup-${labelAt(new Date())}`
  const facts = await attempt(server, session, backupScript(type, days, point))
  if (session.dryRun) return undefined
  const info = facts.split('\n').find((line) => line.startsWith('info\t')) ?? ''
  const backup = parseInfo(info.slice('info\t'.length)).backups.at(-1)
  if (!backup) throw new Fail('failed', 'pgBackRest made a backup, but its catalogue is empty')
  if (backup.damaged)
    throw new Fail(
      'unverified',
      `${backup.label} holds pages with a wrong checksum: the database's disk is failing, or was written to past it. The backups before it are good: runbooks/restore-data.md`,
    )
  for (const line of facts.split('\n').filter((one) => one.startsWith('half\t')))
    session.say(
      `${line.slice('half\t'.length)} ends within a page, as a disk that was full leaves it: PostgreSQL does not read that end, and the next drill reads the rest`,
    )
  const record = recordOf(backup, facts, { point, tool: await revision() })
  await server.put(`${paths.manifests}/${record.label}.json`, `${JSON.stringify(record, null, 2)}\n`)
  return record
}

function backupScript(type: 'full' | 'incr', days: number, point: string): Script {
  const kept = `--repo1-retention-full=${days}`
  const begin = sh`mkdir -p ${paths.manifests}
data=$(docker inspect -f '{{range .Mounts}}{{if eq .Destination "/var/lib/postgresql/data"}}{{.Source}}{{end}}{{end}}' "$postgres")
bytes=0
if [ ${type} = full ]; then bytes=$(($(du -sxB1 "$data" | cut -f 1) / 2))
else
  last=$(find ${folder} -mindepth 1 -maxdepth 1 -name '*F_*I' 2> /dev/null | LC_ALL=C sort | tail -n 1)
  if [ -n "$last" ]; then bytes=$(du -sB1 "$last" | cut -f 1); fi
fi
room ${paths.repository} "$bytes"
room "$data" 0`
  const backup = sh`waiting ${pgbackrest(['backup', `--type=${type}`, kept])}`
  const facts = sh`sets=${folder}
label=$(ls "$sets" | grep -E '^[0-9]{8}-[0-9]{6}F' | LC_ALL=C sort | tail -n 1)
hash=$(sha256sum < "$sets/$label/backup.manifest" | cut -d " " -f 1)
release=$(cat ${`${paths.releases}/current`} 2> /dev/null || true)
${judgeFlagged}
info=$(${pgbackrest(['info', '--output=json'])})
printf "sha256\\t%s\\nrelease\\t%s\\ninfo\\t%s\\n" "$hash" "$release" "$info"
for record in ${paths.manifests}/*.json; do
  name=\${record##*/}; if [ ! -d "$sets/\${name%.json}" ]; then rm -f "$record"; fi
done`
  return exclusive(
    lines(findPostgres, roomShell(), waiting, begin, backup, markScript(point), pgbackrest(['check']), facts),
  )
}

/** What the server's own repository holds. */
export async function repository(server: Host, session: Session): Promise<Repository> {
  const script = lines(findPostgres, pgbackrest(['info', '--output=json']))
  return parseInfo(await attempt(server, session, script, { changes: false }))
}

/** Reads every file of the server's repository and compares it with its checksum. */
export async function verifyRepository(server: Host, session: Session): Promise<string> {
  const script = exclusive(lines(findPostgres, pgbackrest(['verify', '--output=text', '--verbose'])))
  const said = await attempt(server, session, script, { changes: false })
  if (!/status: ok/.test(said)) throw new Fail('unverified', `the repository on the server:\n${said}`)
  return said
}
