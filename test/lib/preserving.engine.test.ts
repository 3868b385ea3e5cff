/** What `--backup-attested` takes for a backup; the Storage Box is a folder, and rsync is real. */
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import * as assert from 'uvu/assert'
import type { Fail } from '../../ops/lib/fail.ts'
import { Host } from '../../ops/lib/host.ts'
import type { Manifest } from '../../ops/lib/manifest.ts'
import { checkAttested } from '../../ops/lib/preserving.ts'
import { attestedDump } from '../attested.ts'
import { clean } from '../bash.ts'
import { describe, rejects } from '../describe.ts'
import { folders } from '../folders.ts'
import { install, missing } from '../harness/packages.ts'
import { boxIn, Captor, Listener } from '../hosts.ts'

const label = '20261122T000000Z'
const env = {
  STORAGEBOX_USER: 'u1-sub1',
  STORAGEBOX_HOST: 'box.example',
  STORAGEBOX_PORT: '23',
  STORAGEBOX_DIR: 'backups',
  STORAGEBOX_SSH_KEY: 'key',
  STORAGEBOX_KNOWN_HOSTS: 'known',
  BACKUP_GPG_RECIPIENTS: '',
}

describe('a backup that is attested', ({ test, before, after, beforeEach }) => {
  const folder = folders({ before, after })
  const session = new Listener()
  const here = new Host('operator', [], session)
  const path = process.env.PATH
  let dir = ''
  before(() => install(missing({ rsync: 'rsync' })))
  beforeEach(() => {
    dir = folder()
    mkdirSync(join(dir, 'box'))
    for (const name of ['key', 'known', '.env']) put(name, '')
    put('bin/ssh', `#!/bin/bash\n${boxIn(join(dir, 'box'), join(dir, 'log'))}\n`)
    process.env.PATH = `${join(dir, 'bin')}:${path}`
  })
  after(async () => {
    process.env.PATH = path
    await session.end()
  })

  const put = (name: string, text: string) => {
    mkdirSync(dirname(join(dir, name)), { recursive: true })
    writeFileSync(join(dir, name), text, { mode: 0o755 })
  }
  const at = `box/backups/dumps/${label}`
  const dump = (over?: Partial<Manifest>) => {
    for (const [name, text] of Object.entries(attestedDump(label, over))) put(`${at}/${name}`, text)
    return (JSON.parse(attestedDump(label, over)['manifest.json'] ?? '') as Manifest).files
  }
  const look = () => checkAttested(here, session, join(dir, '.env'), env, label)
  const refusal = async (code: number, words: RegExp) => {
    const error = await rejects(look, words)
    assert.is((error as Fail).exitCode, code, String(error))
  }

  test('is no folder that is empty, and none that is not whole yet', async () => {
    await refusal(3, /the Storage Box has no such dump in backups\/dumps/)
    mkdirSync(join(dir, at), { recursive: true })
    await refusal(3, /the Storage Box has no such dump in backups\/dumps/)
    rmSync(join(dir, at), { recursive: true })
    dump()
    renameSync(join(dir, at), join(dir, `${at}.part`))
    await refusal(3, /the Storage Box has no such dump/)
  })

  test('is a dump, this one, with something in it', async () => {
    dump({ rows: { 'public.documents': 0 } })
    await refusal(3, /this dump is empty/)
    const files = dump()
    dump({ files: { ...files, 'database.dump.gpg': { bytes: 0, sha256: 'a'.repeat(64) } } })
    await refusal(3, /this dump is empty/)
    dump({ shelf: 'files', files: { 'files.tar.gpg': { bytes: 1, sha256: 'a'.repeat(64) } } })
    await refusal(3, /under this name is no dump/)
    dump({ label: '20261121T000000Z' })
    await refusal(6, /manifest\.json of 20261122T000000Z on the Storage Box is damaged: it says 20261121/)
  })

  test('is what its manifest says', async () => {
    dump()
    put(`${at}/globals.sql.gpg`, 'other')
    await refusal(6, /globals\.sql\.gpg of 20261122T000000Z on the Storage Box is not what its manifest says/)
    dump()
    rmSync(join(dir, at, 'database.dump.gpg'))
    await refusal(6, /database\.dump\.gpg of 20261122T000000Z/)
  })

  test('is told with the drill that restored it, or that none did', async () => {
    const files = dump()
    const none = 'no drill among the evidence on the Storage Box restored it'
    assert.is(await look(), `${label}: dump of 1 tables, 3 rows, 15 bytes; ${none}`)
    const sums = Object.fromEntries(
      Object.entries(files).map(([name, one]) => [`${name}_sha256`, one.sha256]),
    )
    const drill = (seq: number, over: object = {}, inputs: object = {}) =>
      put(
        `box/backups/evidence/00000${seq}.json`,
        JSON.stringify({
          ...{ seq, type: 'dump_drill', result: 'pass', started_at: `2026-11-2${seq}T01:00:00.000Z` },
          ...{ inputs: { backup: label, ...sums, ...inputs }, ...over },
        }),
      )
    drill(1, { result: 'fail' })
    drill(2, { type: 'dump_reading' })
    drill(3, {}, { backup: '20261121T000000Z' })
    drill(4, {}, { 'database.dump.gpg_sha256': 'a'.repeat(64) })
    put('box/backups/evidence/000005.json', 'torn')
    put('box/backups/evidence/000005.log', '')
    assert.match(await look(), none)
    drill(6)
    assert.match(await look(), /; drill 6 of 2026-11-26 restored it$/)
    assert.match(session.said.at(-1) ?? '', /drill 6 of 2026-11-26 restored it/)
  })

  test('is looked for by bash that ShellCheck has nothing to say about', async () => {
    const files = Object.entries(dump())
    const sums = files.map(([name, { sha256 }]) => `${sha256}  backups/dumps/${label}/${name}`).join('\n')
    const host = new Captor((script) =>
      script.includes('box cat') ? (attestedDump(label)['manifest.json'] ?? '') : sums,
    )
    await checkAttested(host, session, join(dir, '.env'), env, label)
    assert.is(host.scripts.length, 3)
    clean(...host.scripts)
  })

  test('cannot be looked for on a box that does not answer', async () => {
    dump()
    renameSync(join(dir, 'box'), join(dir, 'away'))
    await refusal(5, /the Storage Box cannot be reached/)
  })
})
