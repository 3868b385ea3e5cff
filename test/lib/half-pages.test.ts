import { spawnSync } from 'node:child_process'
import { mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { cutHalfPages, judgeFlagged } from '../../ops/lib/half-pages.ts'
import { clean } from '../bash.ts'
import { describe } from '../describe.ts'
import { folders } from '../folders.ts'

const page = 8192

describe('ends of files that are no pages', (suite) => {
  const { test } = suite
  const folder = folders(suite)

  /** Runs the cut in a cluster with these files, as bytes with which each ends after one page. @returns bytes kept of each */
  const cut = (ends: Record<string, Buffer>) => {
    const cluster = folder()
    for (const name of ['base/5', 'global']) mkdirSync(join(cluster, name), { recursive: true })
    for (const [name, end] of Object.entries(ends))
      writeFileSync(join(cluster, name), Buffer.concat([Buffer.alloc(page, 1), end]))
    const env = { ...process.env, PGDATA: cluster }
    const { status, stderr } = spawnSync('bash', ['-euc', cutHalfPages], { env, encoding: 'utf8' })
    assert.is(status, 0, stderr)
    return Object.fromEntries(
      Object.keys(ends).map((name) => [name, statSync(join(cluster, name)).size - page]),
    )
  }

  test('are cut off where they are zeros, from files of tables and their forks', () => {
    const half = Buffer.alloc(4096)
    const kept = cut({ 'base/5/16384': half, 'base/5/16384.1': half, 'global/1262_fsm': Buffer.alloc(1) })
    assert.equal(kept, { 'base/5/16384': 0, 'base/5/16384.1': 0, 'global/1262_fsm': 0 })
  })

  test('stay where anything was written, and whole pages stay', () => {
    const written = Buffer.concat([Buffer.alloc(4095), Buffer.from('x')])
    const kept = cut({ 'base/5/16384': written, 'base/5/16385': Buffer.alloc(page) })
    assert.equal(kept, { 'base/5/16384': 4096, 'base/5/16385': page })
  })

  test('of files that hold no pages are none', () => {
    const names = [
      'base/5/PG_VERSION',
      'base/5/pg_filenode.map',
      'global/pg_control',
      'base/5/pg_internal.init',
    ]
    const kept = cut(Object.fromEntries(names.map((name) => [name, Buffer.alloc(512)])))
    assert.equal(Object.values(kept), [512, 512, 512, 512])
  })

  test('are looked at by bash that ShellCheck has nothing to say about', () => {
    const inner = /-euc '([\s\S]*)' judge /.exec(judgeFlagged.text)?.[1]?.replaceAll(`'\\''`, `'`)
    assert.ok(inner, judgeFlagged.text)
    clean(inner, cutHalfPages)
  })
})
