/**
 * Runs ShellCheck over every shell script of the repository: *.sh and whatever starts with a sh or bash shebang.
 * No npm package ships the program, so where it is missing and we are root on Debian or Ubuntu, it is installed.
 */
import { spawnSync } from 'node:child_process'
import { closeSync, openSync, readSync } from 'node:fs'
import { walk } from './find.ts'

const run = (command: string, ...args: string[]) => spawnSync(command, args, { encoding: 'utf8' })

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

function install(): void {
  if (run('shellcheck', '--version').status === 0) return
  if (process.getuid?.() !== 0 || run('apt-get', '--version').status !== 0) {
    throw new Error('shellcheck is missing. Install it, for example: sudo apt-get install shellcheck')
  }
  console.error('Installing shellcheck')
  const flags = ['-qq', '-o', 'DPkg::Lock::Timeout=120']
  const packages = ['install', '--yes', '--no-install-recommends', 'shellcheck']
  if (run('apt-get', ...flags, ...packages).status === 0) return
  run('apt-get', ...flags, 'update')
  const { status, stderr } = run('apt-get', ...flags, ...packages)
  if (status !== 0) throw new Error(`shellcheck is missing and apt-get could not install it:\n${stderr}`)
}

/** @returns true if all scripts are clean; what is wrong goes to stdout */
function check(): boolean {
  const scripts = shellScripts('.')
  if (scripts.length === 0) throw new Error('found no shell script: not at the root of the repository?')
  const { status, stdout, stderr } = run('shellcheck', '--severity=style', '--external-sources', ...scripts)
  process.stdout.write(`${stdout}${stderr}`)
  console.log(`ShellCheck: ${scripts.length} scripts, ${status === 0 ? 'all clean' : 'see above'}`)
  return status === 0
}

try {
  install()
  process.exitCode = check() ? 0 : 1
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 2
}
