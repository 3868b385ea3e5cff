import { cpSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { $, labDir, ROOT, text } from './shell.ts'

const FIXTURE = join(ROOT, 'test/fixtures/everyskill')
const leftOut = new Set(['node_modules', '.next', '.turbo', 'dist', '.env'])

/** Who commits, and when: the first version has the same SHA on every machine. */
const author = {
  GIT_AUTHOR_NAME: 'EverySkill lab',
  GIT_AUTHOR_EMAIL: 'lab@everyskill.test',
  GIT_AUTHOR_DATE: '2026-01-01T00:00:00Z',
  GIT_COMMITTER_NAME: 'EverySkill lab',
  GIT_COMMITTER_EMAIL: 'lab@everyskill.test',
  GIT_COMMITTER_DATE: '2026-01-01T00:00:00Z',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_SYSTEM: '/dev/null',
}

/** Lays the fixture anew as a git checkout of its own in `.lab/app`; returns the SHA of its commit. */
export async function prepareApp(): Promise<string> {
  const app = labDir('app')
  rmSync(app, { recursive: true, force: true })
  cpSync(FIXTURE, app, {
    recursive: true,
    filter: (path) => !leftOut.has(basename(path)) && !path.endsWith('.tsbuildinfo'),
  })
  await git('init', '--quiet', '--initial-branch', 'main')
  return await commit('First version')
}

/** Gives the app another visible revision and commits it; returns the SHA. */
export async function nextVersion(revision: string): Promise<string> {
  const file = join(labDir('app'), 'apps/web/app/revision.ts')
  writeFileSync(file, `export const revision = ${JSON.stringify(revision).replaceAll('"', "'")}\n`)
  return await commit(revision)
}

/** Commits all that changed in the app's checkout; returns the SHA. */
export async function commit(message: string): Promise<string> {
  await git('add', '--all')
  await git('commit', '--quiet', '--allow-empty', '--message', message)
  return await git('rev-parse', 'HEAD')
}

async function git(...args: string[]): Promise<string> {
  return await text($({ cwd: labDir('app'), env: { ...process.env, ...author } })`git ${args}`)
}
