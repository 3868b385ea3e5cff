import { readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { $, type ProcessOutput } from 'zx'
import { countRows } from './dump.ts'
import { type Picked, pathIn } from './env.ts'
import { Fail } from './fail.ts'
import { type Manifest, parseRows, type Rows } from './manifest.ts'
import type { Session } from './session.ts'
import type { Source } from './source.ts'

export const keyNames = ['BACKUP_GPG_HOMEDIR', 'BACKUP_GPG_PASSPHRASE'] as const

/**
 * argv of `gpg --decrypt` on this machine: with the private key of BACKUP_GPG_HOMEDIR (or of the usual key ring, whose agent
 * asks for its passphrase at the terminal), or with BACKUP_GPG_PASSPHRASE out of a file.
 * @param dir a private folder, for that file
 */
export function decryptor(
  envFile: string,
  env: Picked<(typeof keyNames)[number]>,
  dir: string,
  session: Session,
): string[] {
  const { BACKUP_GPG_HOMEDIR: homedir, BACKUP_GPG_PASSPHRASE: passphrase } = env
  const home = homedir ? pathIn(envFile, homedir) : passphrase ? dir : undefined
  const gpg = ['gpg', '--batch', '--quiet', ...(home ? ['--homedir', home] : [])]
  if (home) session.atEnd(() => $({ nothrow: true })`gpgconf --homedir ${home} --kill gpg-agent`)
  // gpg's own stdin is no terminal here, so it cannot find out at which one its agent should ask.
  if (process.stdin.isTTY) process.env.GPG_TTY ??= readlinkSync('/proc/self/fd/0')
  if (!passphrase) return [...gpg, '--decrypt']
  const file = join(dir, 'passphrase')
  writeFileSync(file, `${passphrase}\n`, { mode: 0o600 })
  return [...gpg, '--pinentry-mode', 'loopback', '--passphrase-file', file, '--decrypt']
}

/**
 * Decrypts a backup's files once to nowhere: gpg gives out plaintext before it can tell that a file was altered.
 * @throws Fail `unverified`, with the likely reason
 */
export async function checkOpens(
  gpg: readonly string[],
  manifest: Manifest,
  dir: string,
  session: Session,
): Promise<void> {
  for (const file of Object.keys(manifest.files)) {
    const answer = await session.command(() => $`${gpg} ${join(dir, file)} > /dev/null`.nothrow())
    if (answer.exitCode !== 0) throw notOpened(file, manifest, answer, 'it is truncated or altered.')
  }
}

/** Why a file did not open: a program that could not be started says nothing about the file. */
function notOpened(file: string, manifest: Manifest, answer: ProcessOutput, otherwise: string): Fail {
  const stderr = answer.stderr.trim()
  if (answer.exitCode === 126 || answer.exitCode === 127)
    return new Fail('usage', `a program is missing on this machine (gpg is in the package gnupg):\n${stderr}`)
  const keys = manifest.recipients.join(', ') || 'a passphrase'
  const why = /no secret key|bad session key|bad passphrase|no pinentry|cancelled/i.test(stderr)
    ? `the key here does not open it, or its passphrase was not given (that takes a terminal and a pinentry). It was made for ${keys}: see BACKUP_GPG_HOMEDIR or BACKUP_GPG_PASSPHRASE.`
    : otherwise
  return new Fail(
    'unverified',
    `${file} of ${manifest.label} cannot be decrypted: ${why} Nothing was touched.\n${stderr}`,
  )
}

/**
 * Reads a backup's dump to its end, decrypted on the way, and counts its rows. Nothing is kept, nothing passes through Node.
 * @param image a Postgres image on this machine, no older than the dump
 * @throws Fail `unverified` when it does not open, or breaks off
 */
export async function countInside(
  source: Source,
  gpg: readonly string[],
  manifest: Manifest,
  image: string,
  session: Session,
): Promise<Rows> {
  const read = [
    'docker',
    'run',
    '-i',
    '--rm',
    '--network',
    'none',
    '--user',
    'postgres',
    '--entrypoint',
    'pg_restore',
  ]
  const cat = source.cat(manifest.label, 'database.dump.gpg')
  const answer = await session.command(() =>
    $`${cat} < /dev/null | ${gpg} | ${read} ${image} -f - | LC_ALL=C awk ${countRows}`.nothrow(),
  )
  if (answer.exitCode === 0) return parseRows(answer.stdout.split('\n').filter((line) => line !== ''))
  throw notOpened('database.dump.gpg', manifest, answer, 'or not read to its end.')
}

/** The Postgres image to read with: the one asked for, or the newest one that `build` left on this machine. */
export async function postgresImage(asked: string | undefined): Promise<string> {
  if (asked && (await $({ nothrow: true })`docker image inspect ${asked}`).exitCode === 0) return asked
  if (asked) throw new Fail('usage', `--image ${asked}: no such image on this machine`)
  const { stdout } = await $`docker image ls --format '{{.ID}}' everyskill/postgres`
  const newest = stdout.split('\n')[0]
  if (newest) return newest
  throw new Fail(
    'usage',
    'no everyskill/postgres image is here to read the dump with: ops/build.ts, or --image NAME',
  )
}
