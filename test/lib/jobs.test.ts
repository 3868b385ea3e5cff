import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { type JobContext, tidyUp } from '../../ops/lib/jobs.ts'
import type { Manifest } from '../../ops/lib/manifest.ts'
import { clean } from '../bash.ts'
import { World } from '../box.ts'
import { describe } from '../describe.ts'
import { folders } from '../folders.ts'
import { Captor } from '../hosts.ts'

const label = '20261122T205310Z'
const manifest: Manifest = {
  ...{ format: 1, label, shelf: 'files', createdAt: '2026-11-22T20:53:10Z', rows: {}, recipients: [] },
  ...{ postgres: null, pgvector: null, release: null, tool: null },
  files: { 'files.tar.gpg': { bytes: 6, sha256: 'a'.repeat(64) } },
}

describe('what comes before the regular work', ({ test, before, after, beforeEach }) => {
  let world: World
  let context: JobContext
  const folder = folders({ before, after })
  beforeEach(() => {
    world = new World(folder())
    world.host.program('docker', 'true')
    const env = { BACKUP_GPG_RECIPIENTS: undefined, BACKUP_RETENTION_DAYS: '90' }
    context = { server: world.host, session: world.session, box: world.box, env, allowEmpty: false }
    const shelf = here(label)
    mkdirSync(shelf, { recursive: true })
    writeFileSync(join(shelf, 'files.tar.gpg'), 'sealed')
    writeFileSync(join(shelf, 'manifest.json'), JSON.stringify(manifest))
  })

  const here = (...path: string[]) => world.host.at(join('/var/backups/everyskill/files', ...path))
  const there = () => {
    const dir = world.onBox('backups/files')
    return existsSync(dir) ? readdirSync(dir) : []
  }

  test('is bash that ShellCheck has nothing to say about', async () => {
    const captor = new Captor()
    await tidyUp({ ...context, server: captor })
    clean(...captor.scripts)
  })

  test('takes a backup to the box that could not go there when it was made, once', async () => {
    await tidyUp(context)
    assert.equal(there(), [label])
    assert.match(readFileSync(here(label, 'proofs'), 'utf8'), /^\S+ shipped \S+\n$/)
    world.asked()
    await tidyUp(context)
    assert.equal(world.asked(), [])
  })

  test('only tells that the box is away still: the regular work goes on', async () => {
    mkdirSync(world.onBox('backups'))
    renameSync(world.onBox(''), world.onBox('../away'))
    await tidyUp(context)
    assert.match(world.session.said.join('\n'), /the Storage Box cannot be reached/)
    assert.not.ok(existsSync(here(label, 'proofs')))
  })

  test('removes what a killed restore fetched, unless one is at work', async () => {
    const fetched = world.host.at('/var/backups/everyskill/fetched')
    mkdirSync(fetched)
    const lock = world.host.at('/run/lock/everyskill-restore.lock')
    const holder = spawn('flock', ['-F', lock, 'sh', '-c', 'echo held; exec sleep 60'])
    await once(holder.stdout, 'data')
    await tidyUp(context)
    assert.ok(existsSync(fetched), 'a restore holds the lock')
    holder.kill()
    execFileSync('flock', ['-w', '5', lock, 'true'])
    await tidyUp(context)
    assert.not.ok(existsSync(fetched))
  })
})
