/** Which files there are: test files by kind, and every file of the repository for the checks that read them all. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'

/** The kinds of test files. limit: seconds for one file. */
export const kinds = {
  unit: { ending: '.test.ts', parallel: true, limit: 300 },
  engine: { ending: '.engine.test.ts', parallel: false, limit: 1200 },
  lab: { ending: '.lab.test.ts', parallel: false, limit: 1200 },
  luks: { ending: '.luks.test.ts', parallel: false, limit: 2400 },
  faults: { ending: '.faults.test.ts', parallel: false, limit: 7200 },
} as const

export type Kind = keyof typeof kinds

const SKIPPED = new Set(['node_modules', '.git', '.lab', '.next', '.turbo', 'dist'])

/** All files under a folder, sorted, without what is installed or made. */
export function walk(dir: string, skip: (path: string) => boolean = () => false): string[] {
  return readdirSync(dir, { withFileTypes: true })
    .flatMap((entry) => {
      const path = join(dir, entry.name)
      if (SKIPPED.has(entry.name) || skip(path)) return []
      return entry.isDirectory() ? walk(path, skip) : entry.isFile() ? [path] : []
    })
    .sort()
}

/** The test files of one kind under a folder; folders called fixtures hold what is tested, not tests. */
export function findTests(dir: string, kind: Kind): string[] {
  const files = walk(dir, (path) => path.endsWith('/fixtures')).filter((path) => path.endsWith('.test.ts'))
  const other = /\.[a-z]+\.test\.ts$/
  return files.filter((path) => (kind === 'unit' ? !other.test(path) : path.endsWith(kinds[kind].ending)))
}
