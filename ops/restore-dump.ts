/**
 * Restores a portable dump; for anything else, and for any moment, there is ops/restore.ts. By default into a scratch container on the server, which is compared with the manifest and thrown away:
 * the drill that makes a file a backup. With --in-place into a new database beside the live one, which takes its place only
 * when it compares equal; what was live is kept until --discard. The private key never leaves this machine, and a file that
 * is truncated, altered or made for another key is refused before the server is touched.
 */
import { operator } from './lib/audit.ts'
import { noteRestored } from './lib/backups.ts'
import { keyNames } from './lib/ciphertext.ts'
import { type Call, main } from './lib/cli.ts'
import {
  compareRestored,
  comparisonChecks,
  comparisonText,
  dumpInputs,
  refuseDifferences,
} from './lib/comparing.ts'
import { type Cluster, execute, liveCluster } from './lib/database.ts'
import { readEnv } from './lib/env.ts'
import { evidenced, type Findings, recordText } from './lib/evidenced.ts'
import { Fail } from './lib/fail.ts'
import { hold } from './lib/held.ts'
import { hostNames, serverOf } from './lib/host.ts'
import { withLocks } from './lib/lock.ts'
import { isLabel, labelAt } from './lib/manifest.ts'
import { recorded } from './lib/recorded.ts'
import { newerRelease } from './lib/release.ts'
import { askOrGoBack, healthy, makeRoom, restoreDatabase, restoreRoles } from './lib/restoring.ts'
import { inScratch, scratchCluster, startScratch } from './lib/scratch.ts'
import { fromBox, fromServer } from './lib/source.ts'
import { createLike, dropSpares, lastKept, spareName, spares, swap } from './lib/spares.ts'
import { boxNames, ownBox } from './lib/storagebox.ts'

const help = `
ops/restore-dump.ts: restore a portable dump into a scratch container, or in place

The daily dump is for a new version of PostgreSQL, or for a damage that the physical
backups hold too; for everything else there is ops/restore.ts. Fetches a dump to this machine, compares it with its manifest, decrypts it once to
nowhere, and only then sends it, decrypted on the way, to the server: into a scratch
container that is compared and removed, or with --in-place into a new database that takes
the live one's place. Rows written since the backup are then only in the old one.

  tsx ops/restore-dump.ts                    the newest backup, into a scratch container
  tsx ops/restore-dump.ts LABEL              that one
  tsx ops/restore-dump.ts list               the backups there are, and databases kept by restores
  tsx ops/restore-dump.ts --in-place         replace the live database, keep the old one
  tsx ops/restore-dump.ts --undo             put the database back that the last one replaced
  tsx ops/restore-dump.ts --discard NAME     drop a database that a restore kept

  --from box|server   where to fetch from (default box)
  --confirm NAME      what would be typed: the server (SERVER_HOST), or with --discard the database
  --json              the result as JSON
`

const options = {
  from: { type: 'string', default: 'box' },
  'in-place': { type: 'boolean' },
  undo: { type: 'boolean' },
  discard: { type: 'string' },
  confirm: { type: 'string' },
  json: { type: 'boolean' },
} as const

await main({ help, options, positionals: true }, async ({ flags, words, session }: Call<typeof options>) => {
  const [word, ...more] = words
  const verbs = [flags['in-place'], flags.undo, flags.discard, word === 'list'].filter(Boolean)
  if (more.length > 0 || verbs.length > 1 || (word && word !== 'list' && !isLabel(word)))
    throw new Fail('usage', 'not understood. See --help')
  if (flags.from !== 'box' && flags.from !== 'server') throw new Fail('usage', '--from is box or server')
  const env = readEnv(flags.env, [...hostNames, ...boxNames, ...keyNames, 'EVIDENCE_KEY'])
  const server = serverOf(flags.env, env, session)
  const source = flags.from === 'box' ? fromBox(ownBox(flags.env, env), session) : fromServer(server, session)
  const live = liveCluster(server)
  const started = new Date()
  const about: Record<string, string> = {}
  if (word === 'list') return list()
  if (flags.undo) return undo()
  if (flags.discard !== undefined) return discard(flags.discard)

  const label = word ?? (await source.labels()).at(-1)
  if (!label) throw new Fail('failed', `there is no backup on the ${source.name}`)
  const { manifest, gpg, file } = await hold(source, session, label, flags.env, env)
  const [dump, roles] = [file('database.dump.gpg'), file('globals.sql.gpg')]
  Object.assign(about, { label, from: source.name })
  if (flags['in-place']) return inPlace()

  const signing = { envFile: flags.env, key: env.EVIDENCE_KEY }
  await changing('restore-dump', ['restore'], async () => {
    const record = await evidenced(server, session, 'dump_drill', signing, started, async (found) => {
      found.inputs = dumpInputs(manifest, source.name)
      const start = () => session.step('start a scratch server', () => startScratch(server))
      await inScratch(server, start, () => drill(scratchCluster(server), found))
    })
    if (record) session.say(recordText(record))
  })

  async function drill(scratch: Cluster, found: Findings) {
    await session.step('restore the roles', () => restoreRoles(scratch, gpg, roles))
    await execute(scratch, session, 'postgres', 'create database everyskill owner everyskill')
    await session.step('restore the database', () => restoreDatabase(scratch, gpg, dump, 'everyskill'))
    await compare(scratch, 'everyskill', found)
    await noteRestored(server, session, manifest.label)
  }

  async function inPlace() {
    const newer = await newerRelease(server, manifest.release)
    const what = `The database on ${server.name} will be replaced by the backup of ${manifest.createdAt}; the old one is kept, and only there is what was written since.${newer}`
    await session.confirm(env.SERVER_HOST, what, flags.confirm)
    const fresh = spareName('restore', manifest.label)
    const kept = spareName('before', labelAt(started))
    about.kept = kept
    await changing('restore-dump --in-place', ['deploy', 'backup'], async () => {
      await makeRoom(live, session)
      try {
        await session.step('restore missing roles', () => restoreRoles(live, gpg, roles))
        await session.step(`make ${fresh}`, () => createLike(live, session, fresh))
        await session.step('restore the database', () => restoreDatabase(live, gpg, dump, fresh))
        await session.step('gather statistics', () => execute(live, session, fresh, 'analyze'))
        await compare(live, fresh)
      } catch (error) {
        const told = (also: Error) => session.say(`${fresh} stays: ${also.message}`)
        await dropSpares(live, session, [fresh]).catch(told)
        throw error
      }
      // --- point of no return: both names change in one transaction ---
      await session.step(`put it in place, keep ${kept}`, () => swap(live, session, fresh, kept))
      await askOrGoBack(live, session, kept)
      await noteRestored(server, session, manifest.label)
    })
    session.say(`Proven? tsx ops/restore-dump.ts --discard ${kept}. Not as it should be? --undo`)
    if (newer) session.say(newer.trim())
  }

  async function undo() {
    const kept = lastKept((await spares(live)).map((one) => one.name))
    if (!kept) throw new Fail('refused', `there is no kept database on ${server.name} to go back to`)
    const what = `The database on ${server.name} will be replaced by ${kept}; the present one is kept.`
    await session.confirm(env.SERVER_HOST, what, flags.confirm)
    const undone = spareName('undone', labelAt(started))
    Object.assign(about, { live: kept, kept: undone })
    await changing('restore-dump --undo', ['deploy', 'backup'], async () => {
      await session.step(`put ${kept} back, keep ${undone}`, () => swap(live, session, kept, undone))
      await session.step('ask the app', () => healthy(server))
    })
  }

  async function discard(name: string) {
    const found = (await spares(live)).find((one) => one.name === name)
    if (!found)
      throw new Fail('refused', `${name} is not a database that a restore kept: restore-dump.ts list`)
    const what = `The database ${name} (${found.size}) will be dropped for good.`
    await session.confirm(name, what, flags.confirm)
    about.dropped = name
    await changing('restore-dump --discard', ['deploy'], () =>
      session.step(`drop ${name}`, () => dropSpares(live, session, [name])),
    )
  }

  async function list() {
    const [backups, kept] = [await source.labels(), await spares(live)]
    if (flags.json) return session.result(JSON.stringify({ source: source.name, backups, kept }, null, 2))
    session.result(backups.join('\n') || `no backups on the ${source.name}`)
    for (const { name, size } of kept) session.result(`kept: ${name} (${size})`)
  }

  /** Table by table against what was counted in the dump. */
  async function compare(cluster: Cluster, name: string, findings?: Findings) {
    if (session.dryRun) return
    const found = await session.step('compare', () => compareRestored(cluster, name, manifest))
    const seconds = Math.round((Date.now() - started.getTime()) / 1000)
    session.result(flags.json ? JSON.stringify({ ...found, seconds }, null, 2) : comparisonText(found))
    if (findings) findings.checks = comparisonChecks(found)
    refuseDifferences(found)
  }

  /** Holds the locks while the work runs, and writes down how it ended. */
  function changing(action: string, locks: string[], work: () => Promise<void>): Promise<void> {
    const note = (facts: Record<string, string>) => {
      Object.assign(facts, about)
      return work()
    }
    return withLocks(server, session, locks, { who: operator(), what: action }, () =>
      recorded(server, session, action, note),
    )
  }
})
