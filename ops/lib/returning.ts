import { clearFetched, fetched, holdings, own } from './copies.ts'
import { attempt, exclusive } from './exclusive.ts'
import { Fail } from './fail.ts'
import { fetchAll, fetchCatalogue } from './fetching.ts'
import type { Host } from './host.ts'
import { labelAt } from './manifest.ts'
import { paths } from './paths.ts'
import type { Session } from './session.ts'
import { sh } from './sh.ts'
import type { Box } from './storagebox.ts'

/**
 * Lies on the server while its repository comes back from the Storage Box, also when that was cut short. It names where the
 * one before was put, once it was.
 */
const mark = `${paths.backups}/returning`

/** Notes that the repository is about to come back. */
export async function beginReturn(server: Host): Promise<void> {
  await server.run(sh`mkdir -p ${paths.backups}; touch ${mark}; sync ${paths.backups}`)
}

/** Notes that all of it is here. */
export async function endReturn(server: Host): Promise<void> {
  await server.run(sh`rm -f ${mark}`)
}

/** Whether a return has begun that did not come to its end. */
export async function isReturning(server: Host): Promise<boolean> {
  return (await server.read(sh`if [ -e ${mark} ]; then echo yes; fi`)) !== ''
}

/**
 * pgBackRest takes what its catalogue names and what does not lie there for lost, and forgets it
 * (infoBackupLoadFileReconstruct): while a repository comes back no backup may be made.
 * @throws Fail `refused`
 */
export async function refuseReturning(server: Host): Promise<void> {
  if (!(await isReturning(server))) return
  throw new Fail(
    'refused',
    'the repository has not come back from the Storage Box as a whole: a backup now would forget the older ones. Run again what was cut short: restore.ts --disaster, or backup.ts fetch',
  )
}

/**
 * Puts the server's repository aside and the Storage Box's in its place, once it has been seen that there is one. The
 * database goes on; what it archives meanwhile waits in pg_wal. Cut short, the same call goes on where it stopped.
 */
export async function bringRepositoryBack(server: Host, session: Session, box: Box): Promise<void> {
  const aside = `${paths.backups}/aside-${labelAt(new Date())}`
  const put = sh`mkdir -p ${aside}
for name in archive backup; do if [ -d ${`${own.dir}/`}"$name" ]; then mv ${`${own.dir}/`}"$name" ${`${aside}/`}; fi; done
rm -rf ${paths.shipping}/sent
echo ${aside} > ${mark}`
  await session.step('look at the one on the Storage Box', async () => {
    await clearFetched(server)
    await fetchCatalogue(server, session, box, fetched)
    if (!session.dryRun) await holdings(server, session, fetched)
    await clearFetched(server)
  })
  await beginReturn(server)
  const before = await server.read(sh`cat ${mark} 2> /dev/null || true`)
  if (before) session.say(`  going on with what was cut short; the one before lies in ${before}`)
  else
    await session.step(`put the present one aside, in ${aside}`, () =>
      attempt(server, session, exclusive(put)),
    )
  await session.step('fetch the catalogue', () => fetchCatalogue(server, session, box, own))
  const { backups } = await holdings(server, session, own)
  await session.step('fetch the backups and the WAL', () => fetchAll(server, session, box, own, backups))
  await endReturn(server)
}
