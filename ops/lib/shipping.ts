import { attempt, codes, exclusive } from './exclusive.ts'
import type { Host } from './host.ts'
import { paths } from './paths.ts'
import { stanza } from './pgbackrest.ts'
import type { Session } from './session.ts'
import { lines, type Script, sh } from './sh.ts'
import { type Box, boxFolder, boxShell } from './storagebox.ts'

const state = paths.shipping
/** SHA-256 of the catalogues that the box may have from us. */
const knownFile = `${state}/known`
const archive = `archive/${stanza}`
const backup = `backup/${stanza}`

/** How long WAL waits for a transfer that takes long. */
const seconds = 15

/** Unfinished files, a link that a Storage Box need not have, and the catalogues, which go last. */
export const leftOut = ['*.pgbackrest.tmp', 'latest', '*.info', '*.info.copy']

/**
 * One round of copying the repository to the Storage Box, which never deletes there. Its order makes what lies on the box
 * restorable at any moment: the catalogue as it is now is put aside; then the WAL goes, then the finished backups, and last
 * the catalogue that was put aside. So a catalogue on the box never names what is not there. While a backup travels, WAL goes
 * beside it. The records of drills go along.
 * @param whole compare every file; else only what changed since the last round, by its change time (a rename counts)
 * @throws Fail `noConnection`; `refused` when the box holds another repository than this server's
 */
export async function shipRound(server: Host, session: Session, box: Box, whole: boolean): Promise<void> {
  const round = exclusive(roundScript(boxFolder(box, 'repository'), box, whole), 'ship')
  await attempt(server, session, round, { timeout: 6 * 3600 })
}

function roundScript(there: Box, root: Box, whole: boolean): Script {
  const ssh = there.ssh.slice(0, -1).join(' ')
  const to = `${there.account}:${there.dir}/`
  const send = sh`send() {
  local code=0 error=${`${state}/error.`}"$BASHPID"
  rsync --recursive --times --timeout=60 ${leftOut.map((name) => `--exclude=${name}`)} -e ${ssh} "$@" 2> "$error" || code=$?
  case $code in
    0) ;;
    24) touch "$vanished" ;;
    *) cat "$error" >&2; rm -f "$error"; box ls ${root.dir} > /dev/null; exit 1 ;;
  esac
  rm -f "$error"
}
# A quarter of a million files after 90 days: only folders that changed are looked into.
wal() {
  local new=${`${state}/new.`}"$BASHPID"
  find archive -maxdepth 3 -type d -cnewer "$1" -print0 | xargs -0 -r -I FOLDER find FOLDER -maxdepth 1 -type f -cnewer "$1" ! -name '*.tmp' ! -name '*.info' ! -name '*.info.copy' > "$new"
  if [ -s "$new" ]; then send --files-from="$new" . ${to}; fi
  rm -f "$new"
}
# WAL does not wait for a transfer that takes long: until it is there a fire would cost it.
slowly() {
  send "$@" &
  local pid=$!
  while kill -0 "$pid" 2> /dev/null && ! timeout ${seconds} tail -s 0.2 --pid="$pid" -f /dev/null; do (wal "$mark.next") || true; done
  wait "$pid"
}`
  const begin = sh`umask 077
mkdir -p ${state}
cd ${paths.repository} 2> /dev/null || exit 0
if [ ! -e ${`${archive}/archive.info`} ]; then exit 0; fi
vanished=${`${state}/vanished`}
rm -f "$vanished" ${state}/error.* ${state}/new.*
whole=${whole ? 'yes' : 'no'}
mark=${`${state}/mark`}
if [ ! -e "$mark" ] || [ -n "$(find "$mark" -newermt now)" ]; then whole=yes; fi
if [ "$whole" = yes ]; then box mkdir -p ${['archive', 'backup'].map((name) => `${there.dir}/${name}/${stanza}`)} ${['manifests', 'evidence'].map((name) => `${root.dir}/${name}`)}; fi`
  return lines(boxShell(root), send, begin, guard(there), ...order(there, root))
}

/**
 * Notes a catalogue that the box has, or may have in a moment. Each backup writes it anew, so a round that was cut off
 * before its end, or a repository that was just brought back from the box, would else look like another database's.
 */
export function noteCatalogue(file: string): Script {
  return sh`mkdir -p ${state}
if [ -e ${file} ]; then sha256sum ${file} >> ${knownFile}; sync ${knownFile}; fi`
}

/** A box whose catalogue is not the one that we sent belongs to another repository, or knows more than this server does. */
function guard(there: Box): Script {
  return sh`if [ "$whole" = yes ] || ! cmp -s ${`${archive}/archive.info`} ${`${state}/sent/archive.info`}; then
  theirs=$(box sha256sum ${`${there.dir}/${archive}/archive.info`} | cut -d " " -f 1) || if [ $? -eq ${codes.noConnection} ]; then exit ${codes.noConnection}; fi
  ours=$({ sha256sum ${`${archive}/archive.info`} ${`${state}/sent/archive.info`}; cat ${knownFile}; } 2> /dev/null | cut -d " " -f 1 || true)
  if [ -n "$theirs" ] && ! grep -qx "$theirs" <<< "$ours"; then
    echo "the Storage Box holds the backups of another database. Nothing was copied. A new server? tsx ops/restore.ts --disaster. The same one, whose repository was lost? tsx ops/backup.ts fetch. Else give it a STORAGEBOX_DIR of its own" >&2
    exit ${codes.refused}
  fi
  names=$(box ls ${`${there.dir}/${backup}`}) || if [ $? -eq ${codes.noConnection} ]; then exit ${codes.noConnection}; fi
  newest=$(grep -E '^[0-9]{8}-[0-9]{6}F' <<< "$names" | LC_ALL=C sort | tail -n 1 || true)
  if [ -n "$newest" ] && [ ! -d ${backup}/"$newest" ]; then
    echo "the Storage Box holds the backup $newest, which this server does not know. Nothing was copied. Was its repository lost? tsx ops/backup.ts fetch" >&2
    exit ${codes.refused}
  fi
fi`
}

/** The steps of a round, in the order that matters. */
function order(there: Box, root: Box): Script[] {
  const to = `${there.account}:${there.dir}/`
  return [
    sh`rm -rf ${`${state}/next`}
mkdir ${`${state}/next`}
touch "$mark.next"
for file in ${`${backup}/backup.info`} ${`${archive}/archive.info`}; do
  for copy in "$file" "$file.copy"; do if [ -e "$copy" ]; then cp -p "$copy" ${`${state}/next/`}; fi; done
done
ls ${paths.manifests} 2> /dev/null > ${`${state}/next/records`} || true`,
    sh`if [ -e "$mark" ]; then wal "$mark"; fi
if [ "$whole" = yes ]; then slowly archive ${to}; fi
drills=${paths.evidence}/drills/
if [ -d "$drills" ] && { [ "$whole" = yes ] || [ -n "$(find "$drills" -type f -cnewer "$mark" -print -quit)" ]; }; then
  send --exclude='.*' "$drills" ${`${root.account}:${root.dir}/evidence/`}
fi`,
    sh`if [ "$whole" = yes ] || ! diff -rq ${`${state}/next`} ${`${state}/sent`} > /dev/null 2>&1; then
  for set in ${backup}/*/; do
    if [ -e "$set/backup.manifest" ] || [ "$set" = ${`${backup}/backup.history/`} ]; then slowly --relative "\${set%/}" ${to}; fi
  done
  if [ -s ${`${state}/next/records`} ]; then send --files-from=${`${state}/next/records`} ${`${paths.manifests}/`} ${`${root.account}:${root.dir}/manifests/`}; fi
  if [ -e "$vanished" ]; then echo "a backup was removed meanwhile: the catalogue follows in the next round" >&2; exit 0; fi
  ${noteCatalogue(`${state}/next/archive.info`)}
  for name in archive backup; do
    files=(${`${state}/next`}/"$name".info*)
    if [ -e "\${files[0]}" ]; then rsync --times --checksum --timeout=60 -e ${there.ssh.slice(0, -1).join(' ')} "\${files[@]}" ${to}"$name"/${stanza}/ || { box ls ${root.dir} > /dev/null; exit 1; }; fi
  done
  rm -rf ${`${state}/sent`}
  mv ${`${state}/next`} ${`${state}/sent`}
fi
# A minute of overlap: a file's change time is taken before it can be seen.
touch -d "@$(($(stat -c %Y "$mark.next") - 60))" "$mark"
date -u +%FT%TZ > ${`${state}/last`}`,
  ]
}
