import { attempt, codes } from './exclusive.ts'
import type { Host } from './host.ts'
import { paths, uids } from './paths.ts'
import { parseInfo, type Repository, stanza } from './pgbackrest.ts'
import type { Session } from './session.ts'
import { parseRecord, type SetRecord } from './set.ts'
import { lines, type Script, sh } from './sh.ts'

/** A copy of the repository on the server: its own, or what was fetched from the Storage Box. */
export interface Copy {
  name: 'server' | 'Storage Box'
  /** The folder that a container mounts as its repository. */
  dir: string
  /** The folder with the records. */
  manifests: string
}

/** The server's own repository. */
export const own: Copy = { name: 'server', dir: paths.repository, manifests: paths.manifests }

/** What is fetched from the Storage Box for one restore. */
export const fetched: Copy = {
  name: 'Storage Box',
  dir: `${paths.fetched}/repository`,
  manifests: `${paths.fetched}/manifests`,
}

/** Removes what was fetched. */
export async function clearFetched(server: Host): Promise<void> {
  await server.run(sh`rm -rf ${paths.fetched}`, { timeout: 600 })
}

/** Sets `$image` to the Postgres image that the stack runs, or would run. */
export const findImage = sh`image=$(sed -n 's/^POSTGRES_IMAGE=//p' ${`${paths.env}/compose.env`})
[ -n "$image" ] || { echo "no release was put on this server yet: tsx ops/deploy.ts --prepare" >&2; exit ${codes.refused}; }`

/** Options of \`docker run\` for a container that reads a repository, and that no network reaches. */
export function reader(dir: string): Script {
  return sh`--network none --user postgres --cap-drop ALL --security-opt no-new-privileges --cpu-shares 64 --memory 4g --pids-limit 256 --shm-size 512m --volume ${`${dir}:/var/lib/pgbackrest:ro`} --volume ${`${paths.env}/pgbackrest:/etc/pgbackrest/conf.d:ro`} --tmpfs /var/spool/pgbackrest:size=256m,uid=${uids.postgres},mode=0700`
}

/** What a copy holds, read by a container of its own: the database need not run. */
export async function holdings(server: Host, session: Session, { dir }: Copy): Promise<Repository> {
  const info = ['--entrypoint', 'pgbackrest']
  const words = [`--stanza=${stanza}`, 'info', '--output=json']
  const script = lines(findImage, sh`docker run --rm ${reader(dir)} ${info} "$image" ${words}`)
  return parseInfo(await attempt(server, session, script, { changes: false }))
}

/** The records that lie beside a copy; a damaged one is left out and told. */
export async function records(server: Host, session: Session, { manifests }: Copy): Promise<SetRecord[]> {
  const text = await server.read(
    sh`cd ${manifests} 2> /dev/null || exit 0; for file in *.json; do if [ -e "$file" ]; then tr -d "\\n" < "$file"; echo; fi; done`,
  )
  return text
    .split('\n')
    .filter((line) => line !== '')
    .flatMap((line) => {
      try {
        return [parseRecord(line, `a record in ${manifests}`)]
      } catch (error) {
        session.say(`left out: ${(error as Error).message}`)
        return []
      }
    })
}
