/**
 * Runs ShellCheck over every shell script of the repository: *.sh and whatever starts with a sh or bash shebang.
 * No npm package ships the program, so where it is missing and we are root on Debian or Ubuntu, it is installed.
 */
import { spawnSync } from 'node:child_process'
import { closeSync, openSync, readSync } from 'node:fs'
import { walk } from './find.ts'
import { install, missing } from './packages.ts'

/** The shell scripts under a folder, but for the fixture of the app, which is not ours to lint. */
export function shellScripts(dir: string): string[] {
  return walk(dir, (path) => path === 'test/fixtures/everyskill').filter((path) => {
    return path.endsWith('.sh') || /^#! *\S*\/(env +)?(ba|da)?sh\b/.test(firstBytes(path))
  })
}

function firstBytes(path: string): string {
  const fd = openSync(path, 'r')
  const buffer = Buffer.alloc(64)
  const length = readSync(fd, buffer)
  closeSync(fd)
  return buffer.toString('latin1', 0, length)
}

/** @returns true if all scripts are clean; what is wrong goes to stdout */
function check(): boolean {
  const scripts = shellScripts('.')
  if (scripts.length === 0) throw new Error('found no shell script: not at the root of the repository?')
  const { status, stdout, stderr } = spawnSync(
    'shellcheck',
    ['--severity=style', '--external-sources', ...scripts],
    { encoding: 'utf8' },
  )
  process.stdout.write(`${stdout}${stderr}`)
  console.log(`ShellCheck: ${scripts.length} scripts, ${status === 0 ? 'all clean' : 'see above'}`)
  return status === 0
}

try {
  install(missing({ shellcheck: 'shellcheck' }))
  process.exitCode = check() ? 0 : 1
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 2
}
