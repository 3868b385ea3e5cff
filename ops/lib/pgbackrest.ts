import * as v from 'valibot'
import { Fail } from './fail.ts'
import { type Script, sh } from './sh.ts'

export const stanza = 'everyskill'

/** The annotation of a backup in which pgBackRest flagged nothing but ends of files that are no pages: their number. */
export const halfPages = 'half-pages'

const range = v.object({ start: v.string(), stop: v.string() })

/** The part of `pgbackrest info --output=json` that we use. Source: pgBackRest, Command Reference, info. */
const infoSchema = v.array(
  v.object({
    archive: v.array(v.object({ id: v.string(), min: v.nullable(v.string()), max: v.nullable(v.string()) })),
    backup: v.array(
      v.object({
        label: v.string(),
        type: v.picklist(['full', 'diff', 'incr']),
        timestamp: v.object({ start: v.number(), stop: v.number() }),
        archive: range,
        lsn: range,
        reference: v.nullable(v.array(v.string())),
        error: v.nullable(v.boolean()),
        annotation: v.optional(v.record(v.string(), v.string()), {}),
        info: v.object({ size: v.number(), repository: v.object({ delta: v.number() }) }),
      }),
    ),
    db: v.array(v.object({ 'system-id': v.number(), version: v.string() })),
    repo: v.optional(v.array(v.object({ status: v.object({ message: v.string() }) })), []),
    status: v.object({ code: v.number(), message: v.string() }),
  }),
)

/** `info` ends with 0 and lists nothing when it could not read a repository; only this code tells. */
const broken = 99

/** A physical backup: a full one, or an incremental one with the others that it needs. */
export interface PhysicalBackup {
  label: string
  type: 'full' | 'diff' | 'incr'
  started: Date
  /** By then it had ended: the second after the one that pgBackRest tells, in which there may be moments before its end. */
  stopped: Date
  /** The first and the last WAL segment without which it cannot be restored. */
  wal: { start: string; stop: string }
  lsn: { start: string; stop: string }
  /** Bytes of the cluster, and what this backup added to the repository. */
  bytes: { cluster: number; stored: number }
  /** The labels that a restore reads, itself last. */
  needs: string[]
  /** Pages with a wrong checksum were found while it was made, or nobody looked at what was flagged. */
  damaged: boolean
}

/** What a repository holds. */
export interface Repository {
  /** The oldest first. */
  backups: PhysicalBackup[]
  /** The newest archive: its folder, its first and last segment; undefined while there is none. */
  archive: { id: string; min: string; max: string } | undefined
}

/** pgBackRest in the live database's container, which `$postgres` names. */
export function pgbackrest(words: readonly string[]): Script {
  return sh`docker exec -u postgres "$postgres" pgbackrest ${[`--stanza=${stanza}`, ...words]}`
}

/** Reads what `info --output=json` says. @throws Fail `unverified` when it is not that */
export function parseInfo(text: string): Repository {
  const result = v.safeParse(v.pipe(v.string(), v.parseJson(), infoSchema), text)
  if (!result.success) throw unreadable(v.summarize(result.issues))
  const [all] = result.output
  if (!all) return { backups: [], archive: undefined }
  if (all.status.code === broken) throw unreadable(all.repo[0]?.status.message ?? all.status.message)
  const archive = all.archive.at(-1)
  return {
    backups: all.backup.map((one) => ({
      label: one.label,
      type: one.type,
      started: new Date(one.timestamp.start * 1000),
      stopped: new Date((one.timestamp.stop + 1) * 1000),
      wal: one.archive,
      lsn: one.lsn,
      bytes: { cluster: one.info.size, stored: one.info.repository.delta },
      needs: [...(one.reference ?? []), one.label],
      damaged: one.error === true && !(halfPages in one.annotation),
    })),
    archive: archive?.min && archive.max ? { id: archive.id, min: archive.min, max: archive.max } : undefined,
  }
}

/** With a wrong passphrase pgBackRest's words quote what it decrypted to, which is no text. */
function unreadable(why: string): Fail {
  const words = (why.split('\n')[0] ?? '').replace(/[^ -~]+/g, '…').slice(0, 300)
  return new Fail(
    'unverified',
    `pgBackRest's catalogue cannot be read: it is damaged, or BACKUP_CIPHER_PASS is not the passphrase that it was written with: ${words}`,
  )
}

/** Whether a name is that of a physical backup: `20261123-021700F`, or `20261123-021700F_20261123-031700I`. */
export function isPhysical(name: string): boolean {
  return /^\d{8}-\d{6}F(_\d{8}-\d{6}[DI])?$/.test(name)
}
