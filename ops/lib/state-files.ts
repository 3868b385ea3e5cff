import { project } from './compose.ts'
import { paths } from './paths.ts'
import { type Script, sh } from './sh.ts'

/** What a new server needs beside the database, relative to the root; paths that are not there are left out. */
const kept = [
  paths.env,
  paths.docker,
  paths.caddy,
  paths.live.replace(/\/[^/]+$/, ''),
  paths.releases,
  paths.evidence,
  paths.audit,
  '/etc/cron.d/everyskill',
].map((path) => path.slice(1))

/** The volume with Caddy's certificates and its account with the authority. */
const caddyData = `${project}_caddy_data`

/**
 * Fills the part of a files backup: one tar of the server's own files, and of Caddy's data below `caddy_data/`.
 * tar ends with 1 when a file grew while it was read, as the audit log may; that is no failure.
 */
export function stateFiles(gpg: Script): Script {
  return sh`caddy=$(docker volume inspect -f '{{.Mountpoint}}' ${caddyData})
there=()
for path in ${kept}; do if [ -e "/$path" ]; then there+=("$path"); fi; done
{ tar -cz -C / "\${there[@]}" -C "$caddy/.." --transform 's,^_data,caddy_data,' _data || [ $? -eq 1 ]; } | ${gpg} > "$part/files.tar.gpg"`
}

/**
 * Puts out of a files backup (a tar on stdin) what a new server goes on with: Caddy's data into its volume, the evidence,
 * and the old audit log beside the new one.
 */
export function bringStateScript(): Script {
  return sh`docker volume inspect ${caddyData} > /dev/null 2>&1 || docker volume create --label ${`com.docker.compose.project=${project}`} --label com.docker.compose.volume=caddy_data ${caddyData} > /dev/null
caddy=$(docker volume inspect -f '{{.Mountpoint}}' ${caddyData})
work=$(mktemp -d -p ${paths.root})
trap 'rm -rf "$work"' EXIT
tar -xz -C "$work"
cp -a "$work/caddy_data/." "$caddy/"
old=$work${paths.root}
if [ -d "$old/evidence" ]; then mkdir -p ${paths.evidence}; cp -a -n "$old/evidence/." ${`${paths.evidence}/`}; fi
if [ -e "$old/audit.log" ]; then cp -a "$old/audit.log" ${`${paths.audit}.before`}; fi`
}
