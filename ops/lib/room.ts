import { codes } from './exclusive.ts'
import { type Script, sh } from './sh.ts'

/**
 * The reserve: a tenth of a file system, and no more than 5 GB. Backups do not touch it. It is what the database and its
 * WAL live from until somebody makes room.
 */
export const reserve = { share: 10, bytes: 5 * 1024 ** 3 } as const

/**
 * Defines `room PATH BYTES`: ends the script as refused when writing so many bytes there would touch the reserve.
 */
export function roomShell(): Script {
  return sh`room() {
  local size avail keep share=${reserve.share} most=${reserve.bytes}
  read -r size avail < <(df -B1 --output=size,avail "$1" | tail -n 1)
  keep=$((size / share < most ? size / share : most))
  if [ $((avail - $2)) -ge "$keep" ]; then return; fi
  echo "no room on the file system of $1: $((avail / 1048576)) MB are free, this needs $(($2 / 1048576)) MB, and $((keep / 1048576)) MB are the reserve that backups leave to the database. Make room, or take a larger disk" >&2
  exit ${codes.refused}
}`
}
