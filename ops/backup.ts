/**
 * Makes an encrypted dump of the database on the server, proves that it can be read to its end, and copies it to the Storage
 * Box. Cron calls it on the server; the same works from the operator's machine over ssh.
 * It never writes plaintext to a disk. On the Storage Box it removes the unfinished `.part` folders that killed runs left;
 * finished backups are deleted there only by `prune`, from the operator's machine.
 * The way back: ops/restore.ts.
 */

import { operator } from './lib/audit.ts'
import { backupNames, prove, shelf } from './lib/backups.ts'
import { catalogue, catalogueText } from './lib/catalogue.ts'
import { decryptor, keyNames, postgresImage } from './lib/ciphertext.ts'
import { type Call, main } from './lib/cli.ts'
import { readEnv } from './lib/env.ts'
import { attempt } from './lib/exclusive.ts'
import { Fail } from './lib/fail.ts'
import { Host, hostNames, serverOf } from './lib/host.ts'
import { withLock } from './lib/lock.ts'
import { makeBackup, refuseFailed, retireBackups, shipBackups } from './lib/making.ts'
import { expired, isLabel, summary } from './lib/manifest.ts'
import { privateDir } from './lib/private-dir.ts'
import { recorded } from './lib/recorded.ts'
import { fromBox } from './lib/source.ts'
import { adminBox, boxList, boxRemove, ownBox, serverBox } from './lib/storagebox.ts'
import { compareCopies, readToEnd } from './lib/verifying.ts'

const help = `
ops/backup.ts: back the database up, encrypted, on the server and on the Storage Box

Dumps the database and its roles, encrypts them as they come, reads the dump to its end
meanwhile, copies both to the Storage Box and compares them there. Then removes copies on
the server that are older than BACKUP_RETENTION_DAYS and lie safely on the Storage Box.

  tsx ops/backup.ts                     what cron calls every hour
  tsx ops/backup.ts --full              what cron calls once a day
  tsx ops/backup.ts list                the backups, where they are, what was proven of them
  tsx ops/backup.ts verify [LABEL]      compare both copies with the manifest (default: the newest)
  tsx ops/backup.ts verify --decrypt    read the Storage Box's copy to its end; where the private key is
  tsx ops/backup.ts prune               delete old backups on the Storage Box; from the operator's machine

  --full          mark it as the daily one
  --allow-empty   accept a database without tables
  --decrypt       with verify: decrypt, and count the rows
  --image NAME    with --decrypt: the Postgres image to read with (default: the newest one built here)
  --dir DIR       with prune: the backups' folder as the main account sees it (default STORAGEBOX_DIR)
  --confirm HOST  with prune: the Storage Box's host name, instead of typing it
  --json          with list, verify or a backup: the result as JSON
`

const options = {
  full: { type: 'boolean' },
  'allow-empty': { type: 'boolean' },
  decrypt: { type: 'boolean' },
  image: { type: 'string' },
  dir: { type: 'string' },
  confirm: { type: 'string' },
  json: { type: 'boolean' },
} as const

const wanted = [
  ...hostNames,
  ...backupNames,
  ...keyNames,
  'STORAGEBOX_ADMIN_USER',
  'STORAGEBOX_ADMIN_SSH_KEY',
] as const

/** So many of the newest backups stay on the Storage Box whatever their age. */
const alwaysKept = 7

await main({ help, options, positionals: true }, async ({ flags, words, session }: Call<typeof options>) => {
  const [verb = 'make', word, ...more] = words
  const verbs = { make, list, verify, prune }
  if (!Object.hasOwn(verbs, verb) || more.length > 0 || (word && !isLabel(word)))
    throw new Fail('usage', `${words.join(' ')}: not understood. See --help`)
  const env = readEnv(flags.env, wanted)
  const server = serverOf(flags.env, env, session)
  const box = serverBox(env)
  const days = Number(env.BACKUP_RETENTION_DAYS)
  const quiet = flags.quiet ?? process.env.OPS_QUIET === '1'
  await verbs[verb as keyof typeof verbs]()

  async function make() {
    const action = flags.full ? 'backup --full' : 'backup'
    await withLock(server, session, { name: 'backup', who: operator(), what: action }, () =>
      recorded(server, session, action, async (about) => {
        const wish = {
          kind: flags.full ? 'full' : 'hourly',
          allowEmpty: flags['allow-empty'] ?? false,
        } as const
        const made = await session.step('dump, encrypt, read to the end', () =>
          makeBackup(server, session, env, wish),
        )
        if (made) Object.assign(about, { label: made.label, sha256: made.files['database.dump.gpg'].sha256 })
        const { held, failed } = await session.step('copy to the Storage Box, compare', () =>
          shipBackups(server, session, box),
        )
        await session.step('remove old copies on the server', () => retireBackups(server, days, held))
        refuseFailed(failed)
        if (made && !quiet) session.result(flags.json ? JSON.stringify(made, null, 2) : summary(made))
      }),
    )
  }

  async function list() {
    const there = await attempt(server, session, boxList(box, true), { changes: false })
    const entries = catalogue(await shelf(server), there.split('\n').filter(isLabel))
    session.result(flags.json ? JSON.stringify(entries, null, 2) : catalogueText(entries))
  }

  async function verify() {
    const label = word ?? (await shelf(server)).at(-1)?.label
    if (!label) throw new Fail('unverified', 'there is no backup to verify')
    const says = flags.decrypt ? await decrypt(label) : await compareCopies(server, session, box, label)
    const proof = flags.decrypt ? 'decrypted' : 'verified'
    await prove(server, label, proof)
    session.result(flags.json ? JSON.stringify({ label, proof, says }, null, 2) : `${label}: ${says}`)
  }

  async function decrypt(label: string) {
    if (server.isLocal)
      throw new Fail('refused', 'no private key lies on the server: decrypt on the operator machine')
    const gpg = decryptor(flags.env, env, privateDir(session), session)
    const image = await postgresImage(flags.image)
    const source = fromBox(ownBox(flags.env, env), session)
    return session.step(`read ${label} to its end`, () => readToEnd(source, session, gpg, label, image))
  }

  async function prune() {
    if (server.isLocal)
      throw new Fail('refused', 'the server may not delete backups: prune from the operator machine')
    const admin = adminBox(flags.env, env, flags.dir)
    const here = new Host('operator', [], session)
    const there = await attempt(here, session, boxList(admin), { changes: false })
    const over = expired(there.split('\n').filter(isLabel), new Date(), days, alwaysKept)
    const asked = word ? over.filter((label) => label === word) : over
    if (word && asked.length === 0)
      throw new Fail(
        'refused',
        `${word} is not there, younger than ${days} days, or one of the newest ${alwaysKept}`,
      )
    session.result(asked.join('\n') || `nothing on the Storage Box is older than ${days} days`)
    if (asked.length === 0) return
    const consequence = `These ${asked.length} backups will be deleted from the Storage Box for good.`
    await session.confirm(env.STORAGEBOX_HOST, consequence, flags.confirm)
    // --- point of no return ---
    await recorded(server, session, 'backup prune', async (about) => {
      Object.assign(about, { first: asked[0], last: asked.at(-1), count: String(asked.length) })
      for (const label of asked)
        await session.step(`delete ${label}`, () => attempt(here, session, boxRemove(admin, label)))
    })
  }
})
