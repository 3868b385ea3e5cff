import { resolve } from 'node:path'
import { type Picked, pathIn } from './env.ts'
import { Fail } from './fail.ts'
import { local } from './local.ts'

/** The app's checkout as the build needs it: where it is and which commit it stands at. */
export interface App {
  dir: string
  sha: string
}

/** Where the app's checkout is. @throws Fail `usage` when neither `--app` nor `.env` says */
export function appDir(envFile: string, env: Picked<'APP_DIR'>, given: string | undefined): string {
  if (given) return resolve(given)
  if (env.APP_DIR) return pathIn(envFile, env.APP_DIR)
  throw new Fail('usage', `${envFile}:\n  APP_DIR is missing: path of the app's checkout; or pass --app DIR`)
}

/**
 * The app at its current commit.
 * @param dirty take a work tree with uncommitted changes; the release then says `-dirty`
 * @throws Fail `usage` when it is no git checkout, or not a clean one
 */
export async function checkout(dir: string, dirty: boolean): Promise<App> {
  const git = (...args: string[]) => local`git -C ${dir} ${args}`.nothrow()
  const head = await git('rev-parse', 'HEAD')
  const status = await git('status', '--porcelain')
  if (!head.ok || !status.ok) {
    const why = (head.stderr || status.stderr).trim()
    throw new Fail(
      'usage',
      `${dir} is not a git checkout with a commit, and a release is named after its commit:\n${why}`,
    )
  }
  const changes = status.stdout.trim()
  const sha = head.stdout.trim()
  if (changes === '') return { dir, sha }
  if (!dirty)
    throw new Fail(
      'usage',
      `${dir} has changes that are not committed:\n${changes}\nCommit them, or pass --dirty`,
    )
  return { dir, sha: `${sha}-dirty` }
}
