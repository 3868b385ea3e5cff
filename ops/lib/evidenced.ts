import { checksText, refuseWrong } from './checks.ts'
import { beginRecord, type DrillRecord, endRecord } from './evidence.ts'
import type { Host } from './host.ts'
import type { Session } from './session.ts'
import type { Signing } from './signing.ts'

/** What the record of a drill tells, filled while it runs. */
export type Findings = Pick<DrillRecord, 'inputs' | 'checks' | 'rpo_seconds'>

/**
 * Does work that an auditor wants to see a record of, and writes it, also when the work fails or a check does not hold.
 * @param started when it really began; the time to recovery counts from there
 * @throws what the work threw, or Fail `unverified` naming the checks that do not hold, once the record is written
 */
export async function evidenced(
  server: Host,
  session: Session,
  type: DrillRecord['type'],
  signing: Signing,
  started: Date,
  work: (found: Findings) => Promise<void>,
): Promise<DrillRecord | undefined> {
  const seq = await beginRecord(server, started)
  const found: Findings = { inputs: {}, checks: [], rpo_seconds: null }
  const failure = await work(found).then(
    () => undefined,
    (error: Error) => error,
  )
  if (session.dryRun) return undefined
  const raw = `${checksText(found.checks)}\n${failure?.message ?? ''}\n`
  const known = { ...found, type, started, raw, error: failure?.message ?? null }
  const record = await endRecord(server, session, seq, known, signing).catch((error: Error) => {
    if (!failure) throw error
    session.say(`  the record could not be written: ${error.message}`)
  })
  if (failure) throw failure
  refuseWrong(found.checks)
  return record ?? undefined
}

/** A record in two lines. */
export function recordText(record: DrillRecord): string {
  const against = (seconds: number | null, target: number, met: boolean | null) =>
    `${seconds ?? 'unknown'} s (target ${target} s${met === null ? '' : met ? ', met' : ', NOT met'})`
  const rto = against(record.rto_seconds, record.rto_target_seconds, record.rto_met)
  const rpo = against(record.rpo_seconds, record.rpo_target_seconds, record.rpo_met)
  const { backup, backup_stopped_at: stopped } = record.inputs
  return `record ${record.seq}: ${record.result}, ${backup} of ${stopped}\nRTO ${rto}, RPO ${rpo}`
}

/** A record for a person, with all that was looked at. */
export function drillText(record: DrillRecord): string {
  return `${checksText(record.checks)}\n${recordText(record)}`
}
