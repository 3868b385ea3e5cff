import { createHash } from 'node:crypto'
import { hostname } from 'node:os'
import { operator } from './audit.ts'
import type { Check } from './checks.ts'
import type { Host } from './host.ts'
import { limit } from './lag.ts'
import { paths } from './paths.ts'
import { revision } from './recorded.ts'
import { redact } from './redact.ts'
import type { Session } from './session.ts'
import { sh } from './sh.ts'
import { type Signing, sign } from './signing.ts'

const folder = `${paths.evidence}/drills`

/** How long a recovery may take, and how much of the newest changes it may lose, seconds. */
const targets = { rto: 4 * 3600, rpo: limit }

/** What a drill found out. The fields that an auditor asks for; kept as they are called there. */
export interface DrillRecord {
  schema_version: 1
  seq: number
  /** SHA-256 of the record before, past drills that died; none before the first. */
  prev_sha256: string | null
  /** Of physical backups; onto a new server; of a dump; a dump that was decrypted and read to its end. */
  type: 'restore_drill' | 'disaster_recovery' | 'dump_drill' | 'dump_reading'
  control_ids: string[]
  started_at: string
  ended_at: string
  environment: { hostname: string; machine_id: string }
  actor: { human: string; from: string }
  tool: { script: string; commit: string }
  procedure: string
  /** The backup that was restored, and where from. */
  inputs: Record<string, string | number | null>
  checks: Check[]
  result: 'pass' | 'fail'
  error: string | null
  rto_seconds: number
  rto_target_seconds: number
  rto_met: boolean
  /** Disaster: how old the newest change is that came back. Drill: how long changes have not been on the box. Null: unknown. */
  rpo_seconds: number | null
  rpo_target_seconds: number
  rpo_met: boolean | null
  /** SHA-256 of the output that stands beside this record. */
  raw_output_sha256: string
}

type Known = Pick<DrillRecord, 'type' | 'inputs' | 'checks' | 'error' | 'rpo_seconds'> & {
  started: Date
  raw: string
}

/**
 * Takes the next number of the record series before the drill begins: a drill that died is a number without an end, which
 * an auditor can see.
 */
export async function beginRecord(server: Host, started: Date): Promise<number> {
  const text = await server.run(
    sh`umask 077; mkdir -p ${folder}; cd ${folder}; exec 9>>.lock; flock -w 30 9
last=$(ls | sed -n 's/^\\([0-9]\\{6\\}\\)\\..*/\\1/p' | sort -u | tail -n 1)
next=$(printf "%06d" $((10#\${last:-0} + 1)))
printf "%s\\n" ${`${started.toISOString()} ${operator()}`} > "$next.started"
echo "$next"`,
  )
  return Number(text)
}

/** Writes the record of a drill, and beside it its raw output; signed when this machine has the key. */
export async function endRecord(
  server: Host,
  session: Session,
  seq: number,
  known: Known,
  signing: Signing,
): Promise<DrillRecord> {
  const name = String(seq).padStart(6, '0')
  const raw = redact(known.raw)
  const facts = await server.read(
    sh`cd ${folder}; hostname; cat /etc/machine-id 2> /dev/null || echo unknown
last=$(ls | grep -E '^[0-9]{6}[.]json$' | awk -v end=${`${name}.json`} '$0 < end' | tail -n 1 || true)
if [ -n "$last" ]; then sha256sum < "$last" | cut -d " " -f 1; fi`,
  )
  const [host = '', machine = '', prev] = facts.split('\n')
  await server.put(`${folder}/${name}.log`, raw)
  const ended = new Date()
  const rto = Math.round((ended.getTime() - known.started.getTime()) / 100) / 10
  const record: DrillRecord = {
    schema_version: 1,
    seq,
    prev_sha256: prev || null,
    type: known.type,
    control_ids: ['A1.2', 'A1.3', 'CC7.5'],
    started_at: known.started.toISOString(),
    ended_at: ended.toISOString(),
    environment: { hostname: host, machine_id: machine },
    actor: { human: operator(), from: hostname() },
    tool: {
      script: process.argv[1]?.replace(/.*\/(ops\/)/, '$1') ?? '',
      commit: (await revision()) ?? 'unknown',
    },
    procedure: 'runbooks/restore-data.md',
    inputs: known.inputs,
    checks: known.checks,
    result:
      known.error === null && known.checks.length > 0 && known.checks.every((one) => one.ok)
        ? 'pass'
        : 'fail',
    error: known.error && redact(known.error),
    rto_seconds: rto,
    rto_target_seconds: targets.rto,
    rto_met: rto <= targets.rto,
    rpo_seconds: known.rpo_seconds,
    rpo_target_seconds: targets.rpo,
    rpo_met: known.rpo_seconds === null ? null : known.rpo_seconds <= targets.rpo,
    raw_output_sha256: createHash('sha256').update(raw).digest('hex'),
  }
  const text = `${JSON.stringify(record, null, 2)}\n`
  await server.put(`${folder}/${name}.json`, text)
  const signature = await sign(session, text, signing)
  if (signature) await server.put(`${folder}/${name}.json.sig`, signature)
  else session.say('  the record is not signed: EVIDENCE_KEY is not set here')
  return record
}

/** When the last record of one of these types that passed began; undefined: there is none. */
export async function lastPassed(server: Host, ...types: DrillRecord['type'][]): Promise<Date | undefined> {
  const type = `"type": "\\(${types.join('\\|')}\\)"`
  const text = await server.read(
    sh`cd ${folder} 2> /dev/null || exit 0; { grep -l '"result": "pass"' *.json 2> /dev/null | xargs -r grep -l ${type} || true; } | sort | tail -n 1 | xargs -r sed -n 's/^  "started_at": "\\(.*\\)",$/\\1/p'`,
  )
  return text === '' ? undefined : new Date(text)
}
