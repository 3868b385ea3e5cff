import { Fail, type Outcome } from './fail.ts'
import type { Host, RunOptions } from './host.ts'
import type { Session } from './session.ts'
import { lines, type Script, sh } from './sh.ts'

/** Codes that our own scripts end with on purpose; no tool in them uses these. */
export const codes = { locked: 73, unverified: 74, noConnection: 75, refused: 76 } as const satisfies Partial<
  Record<Outcome, number>
>

const hour = 3600

/**
 * A script that nothing else of a backup (or of the shipping) runs beside, on this server. The lock that `withLock` holds
 * lives from the caller's connection; this one from the work itself: what a killed caller left running is waited for, not
 * raced.
 * Daemons must not inherit it: close descriptor 8 for what stays behind.
 */
export function exclusive(script: Script, what: 'backup' | 'ship' | 'provision' = 'backup'): Script {
  const file = `/run/lock/everyskill-${what}.work`
  return lines(
    sh`umask 077
exec 8>>${file}
flock -w 300 8 || { echo "an earlier run is still at work" >&2; exit ${codes.locked}; }`,
    script,
  )
}

/** Runs a script that may end with one of `codes`; a dry run prints one that changes something instead. */
export async function attempt(
  host: Host,
  session: Session,
  script: Script,
  { changes = true, ...options }: RunOptions & { changes?: boolean } = {},
): Promise<string> {
  if (session.dryRun && changes) return host.run(script, options)
  const answer = await host.probe(script, { timeout: 6 * hour, ...options })
  if (answer.code === 0) return answer.stdout.replace(/\n$/, '')
  const why = (answer.stderr.trim() || answer.stdout.trim()).split('\n').slice(-12).join('\n')
  throw new Fail(outcomeOf(answer.code), `${host.name}: ${why || `ended with ${answer.code}`}`)
}

function outcomeOf(code: number): Outcome {
  if (code === 124) return 'timedOut'
  const known = Object.entries(codes).find(([, value]) => value === code)
  return known ? (known[0] as keyof typeof codes) : 'failed'
}
