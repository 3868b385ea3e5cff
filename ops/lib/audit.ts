import { hostname, userInfo } from 'node:os'
import { dirname } from 'node:path'
import type { Host } from './host.ts'
import { paths } from './paths.ts'
import { redact } from './redact.ts'
import { sh } from './sh.ts'

export interface AuditEntry {
  /** The script and what it did, such as `deploy` or `deploy --rollback`. */
  action: string
  /** How it ended: `done`, or the error in one line. */
  outcome: string
  /** Seconds it took. */
  seconds: number
  /** What it was about: the release and its images' ids, a backup's label. */
  about: Record<string, string>
}

/** Who runs this script, as the audit log and the lock name them. */
export function operator(): string {
  return `${process.env.SUDO_USER ?? userInfo().username}@${hostname()}`
}

/**
 * Appends one line to the server's audit log. Each line carries its sequence number and the SHA-256 of the line before,
 * so that a line that was edited, removed or reordered is found. Written under a lock of its own: cron writes here too.
 * @param log path of the log on the host
 */
export async function audit(host: Host, entry: AuditEntry, log: string = paths.audit): Promise<void> {
  const rest = redact(JSON.stringify({ at: new Date().toISOString(), who: operator(), ...entry }).slice(1))
  await host.run(
    sh`umask 077; mkdir -p ${dirname(log)}; exec 9>>${`${log}.lock`}; flock -w 30 9
touch ${log}
seq=$(( $(wc -l < ${log}) + 1 ))
prev=$(tail -n 1 ${log} | sha256sum | cut -d ' ' -f 1)
rest=$(cat)
printf '{"seq":%d,"prev":"%s",%s\n' "$seq" "$prev" "$rest" >> ${log}`,
    { input: rest },
  )
}
