/** Programs that the tests call, installed where they are missing. */
import { spawnSync } from 'node:child_process'

/** A program and the package of Debian or Ubuntu that has it. */
export type Programs = Readonly<Record<string, string>>

/** What the scripts call on the operator's machine. */
export const operatorPrograms: Programs = {
  git: 'git',
  gpg: 'gnupg',
  openssl: 'openssl',
  ps: 'procps',
  rsync: 'rsync',
  ssh: 'openssh-client',
  zstd: 'zstd',
}

/** The packages of the programs that are not on the PATH, each once. */
export function missing(programs: Programs): string[] {
  const absent = Object.keys(programs).filter(
    (name) => spawnSync('sh', ['-c', 'command -v "$1"', 'sh', name]).status !== 0,
  )
  return [...new Set(absent.map((name) => programs[name] as string))]
}

/**
 * Installs packages as root on Debian or Ubuntu.
 * @throws Error naming them when that is not possible here
 */
export function install(packages: readonly string[]): void {
  if (packages.length === 0) return
  const names = packages.join(' ')
  if (process.getuid?.() !== 0 || spawnSync('apt-get', ['--version']).status !== 0)
    throw new Error(`missing here: ${names}. Install them, for example: sudo apt-get install ${names}`)
  console.error(`Installing ${names}`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const apt = (...args: string[]) =>
    spawnSync('apt-get', ['-qq', '-o', 'DPkg::Lock::Timeout=120', ...args], { env, encoding: 'utf8' })
  const fetch = () => apt('install', '--yes', '--no-install-recommends', ...packages)
  if (fetch().status === 0) return
  // The lists of packages may be old, or not there at all.
  apt('update')
  const { status, stderr } = fetch()
  if (status !== 0) throw new Error(`missing here: ${names}, and apt-get could not install them:\n${stderr}`)
}
