import { boxHashes, filesOf } from './box-files.ts'
import { checkRows } from './checks.ts'
import { countInside, decryptor, type keyNames, postgresImage } from './ciphertext.ts'
import { dumpInputs } from './comparing.ts'
import type { Picked } from './env.ts'
import { evidenced } from './evidenced.ts'
import { attempt } from './exclusive.ts'
import { Fail } from './fail.ts'
import type { Host } from './host.ts'
import { differences, type Manifest, type Shelf, total } from './manifest.ts'
import { paths } from './paths.ts'
import { privateDir } from './private-dir.ts'
import type { Session } from './session.ts'
import { fromBox, fromServer } from './source.ts'
import { type Box, boxFolder, type boxNames, ownBox } from './storagebox.ts'

/**
 * Compares both copies of a backup with what was made.
 * @returns what was shown, in words
 * @throws Fail `unverified` naming each file that differs
 */
export async function compareCopies(
  server: Host,
  session: Session,
  box: Box,
  where: Shelf,
  label: string,
): Promise<string> {
  const manifest = await fromServer(server, session, where).manifest(label)
  const hashes = await attempt(
    server,
    session,
    boxHashes(boxFolder(box, where), paths[where], label, filesOf(manifest)),
    { changes: false },
  )
  refuse(label, wrongHashes(manifest, hashes))
  return 'the copies on the server and on the Storage Box are what was made'
}

/**
 * Reads the Storage Box's copy of a dump to its end with the private key of this machine, compares its rows, and writes a
 * record of it.
 * @param image the Postgres image to read with; undefined: the newest one built here
 * @throws Fail `refused` on the server; `unverified`
 */
export async function decryptDump(
  server: Host,
  session: Session,
  envFile: string,
  env: Picked<(typeof boxNames)[number] | (typeof keyNames)[number] | 'EVIDENCE_KEY'>,
  label: string,
  image: string | undefined,
): Promise<string> {
  if (server.isLocal)
    throw new Fail('refused', 'no private key lies on the server: decrypt on the operator machine')
  const gpg = decryptor(envFile, env, privateDir(session), session)
  const reader = await postgresImage(image)
  const source = fromBox(ownBox(envFile, env), session)
  const manifest = await source.manifest(label)
  const signing = { envFile, key: env.EVIDENCE_KEY }
  await evidenced(server, session, 'dump_reading', signing, new Date(), async (found) => {
    found.inputs = dumpInputs(manifest, source.name)
    const read = () => countInside(source, gpg, manifest, reader, session)
    const rows = await session.step(`read ${label} to its end`, read)
    found.checks = checkRows(manifest.rows, rows)
    refuse(label, differences(manifest.rows, rows))
  })
  const tables = Object.keys(manifest.rows).length
  return `the copy on the ${source.name} opens and holds ${total(manifest.rows)} rows in ${tables} tables`
}

function refuse(label: string, wrong: readonly string[]): void {
  if (wrong.length === 0) return
  throw new Fail('unverified', `${label} is not what was made:\n  ${wrong.join('\n  ')}`)
}

/** What `boxHashes` found that is not as the manifest says; the two manifests are compared with each other. */
export function wrongHashes(manifest: Manifest, found: string): string[] {
  const rows = found.split('\n').map((line) => line.split('\t'))
  const hash = (side: string, file: string) => rows.find((row) => row[0] === side && row[1] === file)?.[2]
  const wrong = ['server', 'box'].flatMap((side) =>
    Object.entries(manifest.files)
      .filter(([name, { sha256 }]) => hash(side, name) !== sha256)
      .map(([name]) => `${name} on the ${side}: ${hash(side, name) ?? 'missing'}`),
  )
  const same = hash('server', 'manifest.json') === hash('box', 'manifest.json')
  return same ? wrong : [...wrong, 'manifest.json on the box differs from the one on the server']
}
