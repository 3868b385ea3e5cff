import { kept } from './backups.ts'
import { type Done, type Job, lastFull } from './due.ts'
import type { Picked } from './env.ts'
import { attempt } from './exclusive.ts'
import { Fail } from './fail.ts'
import type { Host } from './host.ts'
import { makeDump, makeFiles, refuseFailed, retireBackups, shipBackups } from './making.ts'
import { dateOf, type Shelf, summary } from './manifest.ts'
import { paths } from './paths.ts'
import { makePhysical, repository, stanzaScript, verifyRepository } from './physical.ts'
import { recorded } from './recorded.ts'
import { refuseReturning } from './returning.ts'
import { removeScratchScript } from './scratch.ts'
import type { Session } from './session.ts'
import { setSummary } from './set.ts'
import { lines, sh } from './sh.ts'
import type { Box } from './storagebox.ts'

export interface JobContext {
  server: Host
  session: Session
  box: Box
  env: Picked<'BACKUP_GPG_RECIPIENTS' | 'BACKUP_RETENTION_DAYS'>
  allowEmpty: boolean
}

const verified = `${paths.shipping}/verified`

/** Does one job and writes a line about it to the audit log. @returns what came of it, in a line */
export function runJob(job: Job, context: JobContext): Promise<string> {
  const { server, session } = context
  return recorded(server, session, `backup ${job}`, async (about) => {
    const made = await work(job, context)
    about.made = made.split(',')[0] ?? ''
    return made
  })
}

async function work(job: Job, { server, session, box, env, allowEmpty }: JobContext): Promise<string> {
  const days = Number(env.BACKUP_RETENTION_DAYS)
  if (job === 'full' || job === 'incr') {
    const record = await session.step(`${job} backup`, () => makePhysical(server, session, job, days))
    return record ? setSummary(record) : job
  }
  if (job === 'verify') {
    await session.step('compare every file of the repository with its checksum', () =>
      verifyRepository(server, session),
    )
    await server.run(sh`mkdir -p ${paths.shipping}; date -u +%FT%TZ > ${verified}`)
    return 'verified: every file of the repository is what was written'
  }
  const where: Shelf = job === 'dump' ? 'dumps' : 'files'
  const title = job === 'dump' ? 'dump, encrypt, read to the end' : 'collect and encrypt the files'
  const made = await session.step(title, () =>
    job === 'dump' ? makeDump(server, session, env, allowEmpty) : makeFiles(server, session, env),
  )
  const { held, failed } = await session.step('copy to the Storage Box, compare', () =>
    shipBackups(server, session, box, where),
  )
  await session.step('remove old copies on the server', () => retireBackups(server, where, days, held))
  refuseFailed(failed)
  return made ? summary(made) : job
}

/** Makes the repository if there is none, and proves that WAL reaches it. @throws Fail `refused` while it comes back */
export async function makeStanza({ server, session }: JobContext): Promise<void> {
  await refuseReturning(server)
  await attempt(server, session, stanzaScript())
}

/**
 * Before what is due: removes what a killed restore left, and copies to the Storage Box what an earlier run could not.
 * What of it fails is told, and stops nothing.
 */
export async function tidyUp({ server, session, box }: JobContext): Promise<void> {
  const free = sh`exec 7>> /run/lock/everyskill-restore.lock
flock -n 7 || exit 0`
  const told = (error: Error) => session.say(`  left for the next time: ${error.message}`)
  const remove = lines(free, removeScratchScript, sh`rm -rf ${paths.fetched}`)
  await server.run(remove, { timeout: 600 }).catch(told)
  for (const where of ['dumps', 'files'] as const) {
    const waits = (await kept(server, where)).some((one) => one.manifest && !one.proven.shipped)
    if (!waits) continue
    const send = () => shipBackups(server, session, box, where).then(({ failed }) => refuseFailed(failed))
    await session.step(`copy ${where} that wait to the Storage Box`, send).catch(told)
  }
}

/** When each job was last done. */
export async function doneSoFar({ server, session }: JobContext): Promise<Done> {
  const newest = async (where: Shelf) =>
    (await kept(server, where)).filter((one) => one.manifest).at(-1)?.label
  const [dump, files, verify, held] = await Promise.all([
    newest('dumps'),
    newest('files'),
    server.read(sh`cat ${verified} 2> /dev/null || true`),
    repository(server, session),
  ])
  const date = (label: string | undefined) => (label ? dateOf(label) : undefined)
  const verifiedAt = verify === '' ? undefined : new Date(verify)
  return { full: lastFull(held.backups), dump: date(dump), files: date(files), verify: verifiedAt }
}

/** Does several jobs; one that fails does not stop the next. @throws Fail naming all that failed, with the first's outcome */
export async function runJobs(jobs: readonly Job[], context: JobContext): Promise<string[]> {
  const made: string[] = []
  const failed: { job: Job; error: Fail }[] = []
  for (const job of jobs) {
    try {
      made.push(await runJob(job, context))
    } catch (error) {
      if (!(error instanceof Fail)) throw error
      failed.push({ job, error })
    }
  }
  const [first] = failed
  if (!first) return made
  if (jobs.length === 1) throw first.error
  throw new Fail(first.error.outcome, failed.map(({ job, error }) => `${job}: ${error.message}`).join('\n'))
}
