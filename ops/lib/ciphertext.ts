import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { $ } from 'zx'
import { cipherFiles, isLabel, type Manifest, parseManifest, parseRows, type Rows } from './backups.ts'
import { countRows } from './dump.ts'
import { type Picked, pathIn } from './env.ts'
import { Fail } from './fail.ts'
import type { Host } from './host.ts'
import { paths } from './paths.ts'
import type { Session } from './session.ts'
import { sh } from './sh.ts'
import type { Box } from './storagebox.ts'

/** Where a backup is fetched from: argv that a file's path is added to, and the folder there. */
export interface Source {
  name: string
  cat: readonly string[]
  list: readonly string[]
  dir: string
}

export const keyNames = ['BACKUP_GPG_HOMEDIR', 'BACKUP_GPG_PASSPHRASE'] as const

/** The Storage Box as a source: it is asked directly, for the server may be gone. */
export function fromBox(box: Box): Source {
  return { name: 'Storage Box', cat: [...box.ssh, 'cat'], list: [...box.ssh, 'ls'], dir: box.dir }
}

/** The server's own copies as a source. */
export function fromServer(server: Host): Source {
  const cat = server.isLocal ? ['cat'] : [...server.sshArgv, 'cat']
  return { name: 'server', cat, list: [...cat.slice(0, -1), 'ls'], dir: paths.dumps }
}

/** The finished backups of a source, the oldest first. */
export async function labelsOf(source: Source): Promise<string[]> {
  const text = await from(source, () => $`${source.list} ${source.dir}`)
  return text.split('\n').filter(isLabel).sort()
}

/** A backup's manifest. */
export async function manifestFrom(source: Source, label: string): Promise<Manifest> {
  const text = await from(source, () => $`${source.cat} ${`${source.dir}/${label}/manifest.json`}`)
  return parseManifest(text, label, source.name)
}

async function from(source: Source, ask: () => ReturnType<typeof $>): Promise<string> {
  const answer = await ask().nothrow()
  if (answer.exitCode === 0) return answer.stdout
  const outcome = answer.exitCode === 255 ? 'noConnection' : 'failed'
  const why = answer.stderr.trim().split('\n').slice(-3).join('\n')
  throw new Fail(outcome, `${source.name}: ${why || `ended with ${answer.exitCode}`}`)
}

/** A folder of this process that nobody else can enter; it goes when the script ends. */
export function privateDir(session: Session): string {
  const dir = mkdtempSync(join(tmpdir(), 'everyskill-'))
  session.atEnd(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/**
 * argv of `gpg --decrypt` on this machine: with the private key of BACKUP_GPG_HOMEDIR (or of the usual key ring, whose agent
 * asks for its passphrase at the terminal), or with the passphrase out of a file.
 */
export function decryptor(
  envFile: string,
  env: Picked<(typeof keyNames)[number]>,
  dir: string,
  session: Session,
): string[] {
  const homedir = env.BACKUP_GPG_HOMEDIR ? pathIn(envFile, env.BACKUP_GPG_HOMEDIR) : undefined
  const home = homedir ?? (env.BACKUP_GPG_PASSPHRASE ? dir : undefined)
  const argv = ['gpg', '--batch', '--quiet', ...(home ? ['--homedir', home] : []), '--decrypt']
  if (home) session.atEnd(() => $({ nothrow: true })`gpgconf --homedir ${home} --kill gpg-agent`)
  if (!env.BACKUP_GPG_PASSPHRASE) return argv
  const file = join(dir, 'passphrase')
  writeFileSync(file, `${env.BACKUP_GPG_PASSPHRASE}\n`, { mode: 0o600 })
  return [...argv.slice(0, -1), '--pinentry-mode', 'loopback', '--passphrase-file', file, '--decrypt']
}

/** Fetches a backup's encrypted files to this machine and compares them with their manifest. */
export async function fetchCiphertext(source: Source, manifest: Manifest, dir: string): Promise<void> {
  for (const name of cipherFiles) {
    await from(source, () => $`${source.cat} ${`${source.dir}/${manifest.label}/${name}`} > ${join(dir, name)}`)
    const { stdout } = await $`sha256sum < ${join(dir, name)}`
    if (!stdout.startsWith(manifest.files[name].sha256)) {
      throw new Fail('unverified', `${name} of ${manifest.label} on the ${source.name} is truncated or altered: its SHA-256 is not that of its manifest. Nothing was touched. Try --from with the other place, or an older backup.`)
    }
  }
}

/** Decrypts the files once to nowhere: gpg gives out plaintext before it can tell that a file was altered. */
export async function checkOpens(argv: readonly string[], manifest: Manifest, dir: string): Promise<void> {
  for (const name of cipherFiles) {
    const answer = await $({ nothrow: true })`${argv} ${join(dir, name)} > /dev/null`
    if (answer.exitCode !== 0) throw new Fail('unverified', notOpened(name, manifest, answer.stderr))
  }
}

function notOpened(name: string, manifest: Manifest, stderr: string): string {
  const keys = manifest.recipients.join(', ') || 'a passphrase'
  const why = /no secret key|bad session key|bad passphrase/i.test(stderr)
    ? `the key here does not open it. It was made for ${keys}: see BACKUP_GPG_HOMEDIR or BACKUP_GPG_PASSPHRASE.`
    : 'it is truncated or altered.'
  return `${name} of ${manifest.label} cannot be decrypted: ${why} Nothing was touched.\n${stderr.trim()}`
}

/**
 * Reads a backup's dump to its end, decrypted on the way, and counts its rows. Nothing is kept, nothing passes through Node.
 * @param image a Postgres image on this machine, no older than the dump
 */
export async function countInside(
  source: Source,
  argv: readonly string[],
  manifest: Manifest,
  image: string,
): Promise<Rows> {
  const reader = ['docker', 'run', '-i', '--rm', '--network', 'none', '--user', 'postgres', '--entrypoint', 'pg_restore']
  const path = `${source.dir}/${manifest.label}/database.dump.gpg`
  const answer = await $({
    nothrow: true,
    env: { ...process.env, LC_ALL: 'C' },
  })`${source.cat} ${path} < /dev/null | ${argv} | ${reader} ${image} -f - | awk ${countRows}`
  if (answer.exitCode !== 0) {
    throw new Fail('unverified', `database.dump.gpg of ${manifest.label} cannot be read to its end:\n${answer.stderr.trim()}`)
  }
  return parseRows(answer.stdout.split('\n').filter((line) => line !== ''))
}

/** The newest Postgres image that `build` left on this machine. */
export async function postgresImage(asked: string | undefined): Promise<string> {
  if (asked) return asked
  const { stdout } = await $`docker image ls --format '{{.ID}}' everyskill/postgres`
  const newest = stdout.split('\n')[0]
  if (newest) return newest
  throw new Fail('usage', 'there is no everyskill/postgres image here to read the dump with: build first, or pass --image NAME')
}

/** Whether a source's copy compares equal to its manifest; for files on this machine. */
export function manifestText(path: string): string {
  return readFileSync(path, 'utf8')
}

/** A command on the server that reads what comes down the connection. */
export function decryptedInto(argv: readonly string[], file: string, server: Host, script: Parameters<Host['argv']>[0]) {
  return $({ nothrow: true })`${argv} ${file} | ${server.argv(script, 6 * 3600)}`
}

export const nothing = sh`true`
