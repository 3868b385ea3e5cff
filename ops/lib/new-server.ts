import type { keyNames } from './ciphertext.ts'
import { compose } from './compose.ts'
import { holdings, own, records } from './copies.ts'
import type { Picked } from './env.ts'
import { attempt } from './exclusive.ts'
import { Fail } from './fail.ts'
import { fetchCatalogue, fetchTarget } from './fetching.ts'
import { hold } from './held.ts'
import type { Host } from './host.ts'
import { findData, restoreBeside } from './inplace.ts'
import { stanza } from './pgbackrest.ts'
import { recovered } from './recovery.ts'
import { beginReturn, isReturning } from './returning.ts'
import type { Session } from './session.ts'
import { lines, sh } from './sh.ts'
import { fromBox } from './source.ts'
import { bringStateScript } from './state-files.ts'
import type { Box } from './storagebox.ts'
import { type Target, targetOf, targetText, type Wish } from './target.ts'
import { timelineOf } from './wal.ts'

/** The disk under the database, in words; `encrypted` when a dm-crypt device is in its stack. */
export async function diskUnder(server: Host): Promise<{ encrypted: boolean; device: string }> {
  const text = await server.read(
    sh`device=$(findmnt -no SOURCE -T "$(docker info -f '{{.DockerRootDir}}' 2> /dev/null || echo /var/lib)" | sed 's/\\[.*//')
echo "$device"; lsblk -sno TYPE "$device" 2> /dev/null || true`,
  )
  const [device = 'unknown', ...types] = text.split('\n')
  return { encrypted: types.some((type) => type.trim() === 'crypt'), device }
}

/** @throws Fail `refused` when the disk is not encrypted and nobody said that it need not be */
export async function refuseOpenDisk(server: Host, session: Session, allowed: boolean): Promise<void> {
  const { encrypted, device } = await diskUnder(server)
  session.say(`  the disk of ${server.name} (${device}) is ${encrypted ? 'encrypted' : 'NOT encrypted'}`)
  if (encrypted || allowed) return
  throw new Fail(
    'refused',
    `the disk of ${server.name} (${device}) is not encrypted: set the server up with an encrypted one, or say --unencrypted`,
  )
}

/** @throws Fail `refused` when the server has a database already, and not from a restore that was cut short */
export async function refuseDatabase(server: Host): Promise<void> {
  const answer = await server.read(
    sh`data=$(docker volume inspect -f '{{.Mountpoint}}' everyskill_postgres_data 2> /dev/null) || exit 0
if [ -f "$data/pgdata/PG_VERSION" ]; then echo there; fi`,
  )
  if (answer === '' || (await isReturning(server))) return
  throw new Fail(
    'refused',
    `${server.name} has a database. --disaster is for a new server: --in-place replaces this one`,
  )
}

/**
 * Puts back what is in no database, decrypted on the way: Caddy's certificates and its account with the authority, the
 * evidence, the old audit log. A box without such a backup only costs new certificates.
 */
export async function restoreState(
  server: Host,
  session: Session,
  box: Box,
  envFile: string,
  env: Picked<(typeof keyNames)[number]>,
): Promise<void> {
  const source = fromBox(box, session, 'files')
  const newest = (await source.labels()).at(-1)
  if (!newest) return session.say('  the box holds no backup of the files: certificates are issued anew')
  const { gpg, file } = await hold(source, session, newest, envFile, env)
  const feed = () => server.feed([...gpg, file('files.tar.gpg')], bringStateScript())
  await session.step('restore certificates and evidence', feed)
}

/**
 * Brings the repository on the Storage Box to a new server, as much of it as a target needs, and the database out of it.
 * Killed at any moment, the same call goes on where it stopped.
 */
export async function restoreCluster(server: Host, session: Session, box: Box, wish: Wish): Promise<Target> {
  await beginReturn(server)
  await session.step('fetch the catalogue', () => fetchCatalogue(server, session, box, own))
  const all = await holdings(server, session, own)
  const target = targetOf(all, await records(server, session, own), wish, new Date())
  await session.step(`fetch what ${targetText(target)} needs`, () =>
    fetchTarget(server, session, box, own, target),
  )
  await refuseFork(server, target)
  await session.step('restore its files', async () => {
    await attempt(
      server,
      session,
      sh`docker volume inspect everyskill_postgres_data > /dev/null 2>&1 || docker volume create --label com.docker.compose.project=everyskill --label com.docker.compose.volume=postgres_data everyskill_postgres_data > /dev/null`,
    )
    const placed = await server.probe(lines(findData, sh`[ -d "$data/pgdata" ]`))
    if (placed.code !== 0) await restoreBeside(server, session, target)
  })
  await session.step('start the database, replay what was archived', async () => {
    const place = sh`if [ ! -d "$data/pgdata" ]; then mv -T "$data/restoring" "$data/pgdata"; fi`
    const up = compose(sh`up -d --no-deps postgres 2>&1`)
    const id = sh`id=$(${compose(sh`ps -q postgres`)})`
    await attempt(server, session, lines(findData, place, up, id, recovered(sh`"$id"`)))
  })
  return target
}

/**
 * A restore in place begins a new timeline. Where no backup was made on it yet, the newest backup leads to the end of the
 * old one, without an error: which of them was live only a person knows.
 * @throws Fail `refused` naming both
 */
export async function refuseFork(server: Host, { set, latest, timeline }: Target): Promise<void> {
  if (!latest || timeline) return
  const text = await server.read(
    sh`cd ${`${own.dir}/archive/${stanza}`}; find . -name '*.history' -newermt ${set.stopped.toISOString()} -printf '%f\n' | LC_ALL=C sort | tail -n 1`,
  )
  const [newer, mine] = [timelineOf(text), timelineOf(set.wal.start)]
  // NaN: there is none.
  if (!(newer > mine)) return
  throw new Fail(
    'refused',
    `after the newest backup (${set.label}, timeline ${mine}) a restore began timeline ${newer}, of which there is no backup. What was live last? Say --timeline ${newer}, or --timeline ${mine} for what was before that restore`,
  )
}

/** When the newest change that came back was committed; undefined: the archive held none after the backup. */
export async function newestChange(server: Host): Promise<Date | undefined> {
  const text = await server.read(
    sh`docker exec -u postgres "$(${compose(sh`ps -q postgres`)})" psql -XAtd postgres -c "select extract(epoch from pg_last_xact_replay_timestamp())"`,
  )
  return text === '' ? undefined : new Date(Number(text) * 1000)
}
