import { join } from 'node:path'
import { $ } from 'zx'
import { decryptor, type keyNames } from './ciphertext.ts'
import type { Picked } from './env.ts'
import { attempt, codes } from './exclusive.ts'
import { Fail } from './fail.ts'
import { readHeader } from './header.ts'
import { inMemory } from './header-backup.ts'
import {
  type HeaderBackupEnv,
  type HeaderManifest,
  headerBackups,
  headerBox,
  headerManifest,
  refuseHeader,
  type Target,
} from './header-manifest.ts'
import type { Host } from './host.ts'
import { privateDir } from './private-dir.ts'
import { pull } from './pull.ts'
import type { Session } from './session.ts'
import { lines, type Script, sh } from './sh.ts'
import { boxShell } from './storagebox.ts'

type RestoreEnv = HeaderBackupEnv & Picked<(typeof keyNames)[number]>

/**
 * Puts a header back from the Storage Box onto a device that is not in use: in the rescue system. Its keys are those of the
 * day of the backup: who was revoked since opens the disk again.
 * @param label the newest one when left out
 * @param typed what was given as `--confirm`: the label
 * @throws Fail `refused` for a backup of another disk or without slots, or a device in use; `unverified` when it was altered,
 *   does not decrypt, or does not read back
 */
export async function restoreHeader(
  host: Host,
  here: Host,
  session: Session,
  envFile: string,
  env: RestoreEnv,
  device: string,
  { label: asked, typed }: { label?: string; typed?: string } = {},
): Promise<HeaderManifest> {
  const box = headerBox(envFile, env)
  const label = asked ?? (await headerBackups(here, session, box)).at(-1)
  if (!label)
    throw new Fail(
      'refused',
      `the Storage Box holds no header backup in ${box.dir}. Without one the disk is lost`,
    )
  const manifest = await headerManifest(here, session, box, label)
  refuseHeader(manifest, await targetAt(host, session, device), device)
  const dir = privateDir(session)
  const file = join(dir, 'header.gpg')
  await attempt(
    here,
    session,
    lines(
      boxShell(box),
      pull(box),
      sh`pull ${`${box.account}:${box.dir}/${label}/header.gpg`} ${file}
sum=$(sha256sum < ${file} | cut -d ' ' -f 1)
[ "$sum" = ${manifest.encrypted} ] || { echo ${`header.gpg of ${label} on the Storage Box was altered`} >&2; exit ${codes.unverified}; }`,
    ),
    {
      changes: false,
    },
  )
  const gpg = decryptor(envFile, env, dir, session)
  const opened = await session.command(() => $`${gpg} ${file} > /dev/null`.nothrow())
  if (opened.exitCode !== 0)
    throw new Fail(
      'unverified',
      `the header backup ${label} cannot be decrypted here: see BACKUP_GPG_HOMEDIR. Nothing was changed\n${opened.stderr.trim()}`,
    )
  const day = manifest.createdAt.slice(0, 10)
  await session.confirm(
    label,
    `This writes the header of ${day} onto ${device}: exactly its passphrases open the disk then, also one that was revoked since.`,
    typed,
  )
  await host.feed([...gpg, file], restoreScript(manifest, device), 600)
  if (session.dryRun) return manifest
  const after = await readHeader(host, device)
  const slots = (of: { slot: number }[]) => of.map((one) => one.slot).join(', ')
  if (after.uuid === manifest.uuid && slots(after.slots) === slots(manifest.slots)) return manifest
  throw new Fail(
    'unverified',
    `the header on ${device} does not read back as that of ${label}: do not reboot`,
  )
}

async function targetAt(host: Host, session: Session, device: string): Promise<Target> {
  const text = await attempt(host, session, targetScript(device), { changes: false })
  const [uuid = '', partition = ''] = text.split('\n')
  return { uuid, partition }
}

/** Prints the UUID of a device's header and the id of its partition; refuses a device that is open. */
export function targetScript(device: string): Script {
  return sh`[ -e ${device} ] || { echo ${`there is no ${device}`} >&2; exit ${codes.refused}; }
held=$(lsblk -nro NAME ${device} 2> /dev/null | wc -l || true)
if [ "$held" -gt 1 ]; then echo ${`${device} is in use here: a header is restored in the rescue system`} >&2; exit ${codes.refused}; fi
cryptsetup luksUUID ${device} 2> /dev/null || echo
lsblk -dno PARTUUID ${device} 2> /dev/null || true`
}

/** Takes a plain header on stdin and writes it onto a device, unless it is another one or has no slots. */
export function restoreScript({ sha256 }: Pick<HeaderManifest, 'sha256'>, device: string): Script {
  return lines(
    inMemory(),
    sh`cat > "$dir/header"
[ "$(sha256sum < "$dir/header" | cut -d ' ' -f 1)" = ${sha256} ] || { echo 'the header did not arrive as it was read. Nothing was changed' >&2; exit 1; }
grep -q '^ *[0-9][0-9]*: luks2$' <<< "$(cryptsetup luksDump "$dir/header")" || { echo 'this header has no key slot. Nothing was changed' >&2; exit 1; }
cryptsetup luksHeaderRestore --batch-mode ${device} --header-backup-file "$dir/header"
sync ${device}`,
  )
}
