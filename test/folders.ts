import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Suite } from './describe.ts'

/** Makes a fresh folder each time it is called from a test of a suite; they go with the suite. */
export function folders({ before, after }: Pick<Suite, 'before' | 'after'>): () => string {
  let base = ''
  before(() => {
    base = mkdtempSync(join(tmpdir(), 'suite-'))
  })
  after(() => rmSync(base, { recursive: true, force: true }))
  return () => mkdtempSync(join(base, 'one-'))
}
