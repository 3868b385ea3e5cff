import { codes } from './exclusive.ts'
import { uids } from './paths.ts'
import { type Script, sh } from './sh.ts'
import type { Box } from './storagebox.ts'

/**
 * Defines for a script that knows `box`: `pull WORDS…`, rsync from the Storage Box, and `has PATH`, whether there is such a
 * thing over there. A box that went away ends the script with its own code.
 */
export function pull(box: Box): Script {
  return sh`pull() { rsync --recursive --times --timeout=60 -e ${box.ssh.slice(0, -1).join(' ')} "$@" || { box ls ${box.dir} > /dev/null; exit 1; }; }
has() {
  local code=0 said
  said=$(box ls "$1" 2>&1) || code=$?
  if [ "$code" -eq ${codes.noConnection} ]; then echo "$said" >&2; exit "$code"; fi
  return "$code"
}`
}

/** Gives a folder of the repository to the user that reads it. */
export function owned(dir: string): Script {
  return sh`chown -R ${`${uids.postgres}:${uids.postgres}`} ${dir}`
}
