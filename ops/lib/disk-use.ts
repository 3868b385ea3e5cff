import type { Host } from './host.ts'
import { paths } from './paths.ts'
import { reserve } from './room.ts'
import { sh } from './sh.ts'

/** The disk under the backups, in bytes. */
export interface Disk {
  free: number
  /** All backups on it. */
  used: number
  /** The repository alone. */
  repository: number
  /** The newest dump and the newest files: what a day adds to them. */
  daily: number
  /** What backups leave free. */
  reserve: number
}

/** Asks how full the disk is. */
export async function diskFacts(server: Host): Promise<Disk> {
  const shelves = [paths.dumps, paths.files]
  const text = await server.read(
    sh`bytes() { { du -scB1 "$@" 2> /dev/null || true; } | tail -n 1 | cut -f 1; }
newest() { for shelf in ${shelves}; do find "$shelf" -mindepth 1 -maxdepth 1 -name '*Z' 2> /dev/null | LC_ALL=C sort | tail -n 1; done; }
mapfile -t last < <(newest)
df -B1 --output=size,avail ${paths.repository} | tail -n 1
bytes ${paths.repository}
bytes ${shelves}
if [ "\${#last[@]}" -gt 0 ]; then bytes "\${last[@]}"; else echo 0; fi`,
    { timeout: 600 },
  )
  const [size = 0, free = 0, repository = 0, portable = 0, daily = 0] = text.trim().split(/\s+/).map(Number)
  const kept = Math.min(size / reserve.share, reserve.bytes)
  return { free, used: repository + portable, repository, daily, reserve: kept }
}
