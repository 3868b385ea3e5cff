import { codes } from './exclusive.ts'
import type { Manifest } from './manifest.ts'
import { lines, type Script, sh } from './sh.ts'
import { type Box, boxShell } from './storagebox.ts'

/** Every file of a portable backup, the one last that makes it one. */
export function filesOf(manifest: Manifest): string[] {
  return [...Object.keys(manifest.files), 'manifest.json']
}

/**
 * Copies one finished backup to the box: under a name that does not count, compared by SHA-256 over there, then renamed.
 * What an interrupted run left is taken up where it stopped; when it does not compare equal it is sent anew.
 * @param there whether the box has it under its final name already; then it is only compared
 */
export function boxShip(
  box: Box,
  dir: string,
  name: string,
  files: readonly string[],
  there: boolean,
): Script {
  const final = `${box.dir}/${name}`
  const part = `${final}.part`
  const at = there ? final : part
  const send = sh`box mkdir -p ${part}
send() { rsync --times --partial "$@" -e ${box.ssh.slice(0, -1).join(' ')} ${files} ${`${box.account}:${part}/`} || { box ls ${box.dir} > /dev/null; exit 1; }; }
send`
  const compare = sh`cd ${`${dir}/${name}`}
mine=$(sha256sum ${files} | cut -d " " -f 1)
theirs() { box sha256sum ${files.map((file) => `${at}/${file}`)} | cut -d " " -f 1; }
differ() { echo ${`${name} on the Storage Box is not what was sent`} >&2; exit ${codes.unverified}; }`
  const settle = there
    ? sh`got=$(theirs)
[ "$got" = "$mine" ] || differ`
    : sh`got=$(theirs)
if [ "$got" != "$mine" ]; then send --checksum --no-partial; got=$(theirs); fi
[ "$got" = "$mine" ] || differ
box mv ${part} ${final}`
  return lines(boxShell(box), compare, there ? undefined : send, settle)
}

/** The SHA-256 of every file of a backup that is there, on both sides: `server|box<TAB>file<TAB>hash`. */
export function boxHashes(box: Box, dir: string, name: string, files: readonly string[]): Script {
  return lines(
    boxShell(box),
    sh`show() { awk -v side="$1" -v OFS="\\t" '{ sub(".*/", "", $2); print side, $2, $1 }'; }
{ cd ${`${dir}/${name}`} && sha256sum ${files} || true; } | show server
{ box sha256sum ${files.map((file) => `${box.dir}/${name}/${file}`)} || true; } | show box`,
  )
}
