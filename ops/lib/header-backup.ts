import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { $ } from 'zx'
import { recipientFiles } from './backup-files.ts'
import { boxShip } from './box-files.ts'
import { pathIn } from './env.ts'
import { attempt } from './exclusive.ts'
import { Fail } from './fail.ts'
import { dumpHeader, type Header, headerIn, readHeader } from './header.ts'
import { type HeaderBackupEnv, type HeaderManifest, headerBox } from './header-manifest.ts'
import type { Host } from './host.ts'
import { labelAt } from './manifest.ts'
import { privateDir } from './private-dir.ts'
import { checkRecipients, encryptTo } from './recipients.ts'
import { revision } from './recorded.ts'
import type { Session } from './session.ts'
import { lines, type Script, sh } from './sh.ts'

/** Defines `$dir`, a folder in memory that only root can enter and that goes with the script. */
export function inMemory(): Script {
  return sh`umask 077
dir=$(mktemp -d -p /dev/shm everyskill-header-XXXXXX)
trap 'rm -rf "$dir"' EXIT
trap 'exit 143' TERM INT HUP`
}

/** Gives the header out on stdout; on stderr its SHA-256, the partition's id and what the copy says of itself. */
export function headerScript(device: string): Script {
  return lines(
    inMemory(),
    sh`cryptsetup luksHeaderBackup ${device} --header-backup-file "$dir/header"
{ echo BEGIN; sha256sum < "$dir/header" | cut -d ' ' -f 1; lsblk -dno PARTUUID ${device} 2> /dev/null || echo; } >&2
{ ${dumpHeader(sh`"$dir/header"`)}
} >&2
cat "$dir/header"`,
  )
}

/**
 * Copies a device's header to the Storage Box, encrypted on this machine to every key of BACKUP_GPG_RECIPIENTS. The plain
 * header is in no file but one in the host's memory. What was sent is what was checked: it has the slots of the device.
 * @param here this machine
 * @throws Fail `usage` without recipients; `unverified` when the copy has no slots, or others than the device
 */
export async function backUpHeader(
  host: Host,
  here: Host,
  session: Session,
  envFile: string,
  env: HeaderBackupEnv,
  device: string,
): Promise<{ label: string; sha256: string }> {
  const keys = recipientFiles(env).map((path) => pathIn(envFile, path))
  if (keys.length === 0)
    throw new Fail(
      'usage',
      `${envFile}:\n  BACKUP_GPG_RECIPIENTS is missing: paths of OpenPGP public key files`,
    )
  await checkRecipients(envFile, env, session)
  const now = new Date()
  const label = labelAt(now)
  const box = headerBox(envFile, env)
  const script = headerScript(device)
  if (session.dryRun) {
    session.wouldRun(host.name, `${script.text} | gpg --encrypt, to ${box.dir}/${label} on the Storage Box`)
    return { label, sha256: '' }
  }
  const base = privateDir(session)
  const dir = join(base, label)
  mkdirSync(dir)
  const [facts, sum, file] = [join(base, 'facts'), join(base, 'sum'), join(dir, 'header.gpg')]
  const gpg = encryptTo(privateDir(session), keys)
  const copied = await session.command(() =>
    $`${host.argv(script, 600)} < /dev/null 2> ${facts} | { tee /dev/fd/3 | sha256sum > ${sum}; } 3>&1 | ${gpg} > ${file}; sha256sum < ${file}`.nothrow(),
  )
  const said = readFileSync(facts, 'utf8')
  if (copied.exitCode !== 0)
    throw new Fail(
      'failed',
      `${host.name}: the header could not be copied: ${said.trim() || copied.stderr.trim()}`,
    )
  const [sha256 = '', partition = '', ...dump] = said.slice(said.indexOf('BEGIN\n') + 6).split('\n')
  const header = headerIn(dump.join('\n'))
  refuseOther(header, await readHeader(host, device))
  if (sha256 === '' || !readFileSync(sum, 'utf8').startsWith(sha256))
    throw new Fail('unverified', `the header of ${device} was not received as it was read. Nothing was kept`)
  const manifest: HeaderManifest = {
    ...{ format: 1, label, createdAt: now.toISOString(), uuid: header.uuid, device, partition, sha256 },
    encrypted: copied.stdout.slice(0, 64),
    slots: header.slots.map(({ slot, custodian }) => ({ slot, custodian: custodian ?? null })),
    tool: await revision(),
  }
  writeFileSync(join(dir, 'header.json'), `${JSON.stringify(manifest, null, 2)}\n`)
  await attempt(
    here,
    session,
    lines(sh`export LC_ALL=C`, boxShip(box, base, label, ['header.gpg', 'header.json'], false)),
  )
  return { label, sha256 }
}

/** @throws Fail `unverified` when a copy is not that of the device: a copy without slots would restore to a lost volume */
export function refuseOther(copy: Header, device: Header): void {
  const text = ({ uuid, slots }: Header) =>
    `${uuid} with the slots ${slots.map((one) => one.slot).join(', ') || 'none'}`
  if (copy.slots.length > 0 && text(copy) === text(device)) return
  throw new Fail(
    'unverified',
    `the copy of the header is not good, and was not kept: it is ${text(copy)}, the device ${text(device)}`,
  )
}
