import { attempt, codes, exclusive } from './exclusive.ts'
import { mapped } from './header.ts'
import type { Host } from './host.ts'
import { base, bootLabel, type Layout, newRoot } from './layout.ts'
import { local } from './local.ts'
import { openScript } from './luks-format.ts'
import type { Session } from './session.ts'
import { lines, type Script, sh } from './sh.ts'

/** What of the new system is done, one line a phase; it lies in the new system itself. */
export const phasesFile = '/etc/everyskill/phases'
const phases = `${newRoot}${phasesFile}`

/** Mounts the new root and its /boot, as far as that is not done, below a tmpfs that nobody else sees. */
function mountScript({ boot }: Layout): Script {
  return sh`if ! mountpoint -q ${base}; then
  mkdir -p ${base}
  mount -t tmpfs -o mode=700 everyskill ${base}
  mount --make-private ${base}
fi
mkdir -p ${newRoot}
mountpoint -q ${newRoot} || mount /dev/mapper/${mapped} ${newRoot}
mkdir -p ${`${newRoot}/boot`}
mountpoint -q ${`${newRoot}/boot`} || mount ${boot} ${`${newRoot}/boot`}`
}

/**
 * Opens the volume and, where it holds a system of ours, mounts it.
 * @param passphrase the first custodian's
 * @returns the phases that are done there; none: there is no file system yet, or an empty one
 * @throws Fail `refused` when it holds a system that this script did not begin, or is mapped otherwise
 */
export async function openRoot(
  host: Host,
  session: Session,
  layout: Layout,
  passphrase: string,
): Promise<string[]> {
  const foreign = `the encrypted disk holds a system that this script did not make: --start-over wipes it`
  const look = sh`type=$(blkid -p -s TYPE -o value /dev/mapper/${mapped} || true)
[ -n "$type" ] || exit 0
boot=$(blkid -p -s TYPE -o value ${layout.boot} || true)
[ -n "$boot" ] || exit 0`
  const said = sh`if [ -f ${phases} ]; then cat ${phases}; exit 0; fi
held=$(find ${newRoot} -mindepth 1 -maxdepth 1 ! -name lost+found ! -name boot -print -quit)
[ -z "$held" ] || { echo ${foreign} >&2; exit ${codes.refused}; }`
  const script = lines(openScript(layout.luks), look, mountScript(layout), said)
  const text = await attempt(host, session, exclusive(script, 'provision'), {
    input: passphrase,
    timeout: 600,
  })
  return phasesIn(text)
}

/** The names of the phases in the text of the file. */
export function phasesIn(text: string): string[] {
  return text.split('\n').flatMap((line) => line.split(' ')[0] || [])
}

/** A line of the phases file. */
export function phaseLine(phase: string): string {
  return `${phase} ${new Date().toISOString().slice(0, 19)}Z`
}

/** Writes down in the new system that a phase is done. */
export async function mark(host: Host, session: Session, phase: string): Promise<void> {
  const script = sh`mkdir -p ${`${newRoot}/etc/everyskill`}
echo ${phaseLine(phase)} >> ${phases}
sync -f ${phases}`
  await attempt(host, session, exclusive(script, 'provision'), { timeout: 300 })
}

/** Empty file systems for / and /boot, with nothing in them but a line that says whose they are. */
export async function makeFileSystems(host: Host, session: Session, layout: Layout): Promise<void> {
  const script = lines(
    sh`if mountpoint -q ${base}; then umount -R ${base}; fi
mkfs.ext4 -q -F -L ${bootLabel} ${layout.boot}
mkfs.ext4 -q -F -L everyskill-root /dev/mapper/${mapped}`,
    mountScript(layout),
    sh`mkdir -p ${`${newRoot}/etc/everyskill`}
echo ${phaseLine('begun')} > ${phases}
sync -f ${phases}`,
  )
  await attempt(host, session, exclusive(script, 'provision'), { timeout: 900 })
}

/** tar's flag for an archive by its name. */
function packing(archive: string): string {
  const flags = { gz: '-z', tgz: '-z', zst: '--zstd', xz: '-J', bz2: '-j' }
  return flags[archive.split('.').at(-1) as keyof typeof flags] ?? '--no-auto-compress'
}

/** The program that unpacks an archive in the rescue system besides tar. */
export function unpacker(archive: string): string[] {
  const programs = { gz: 'gzip', tgz: 'gzip', zst: 'zstd', xz: 'xz', bz2: 'bzip2' }
  const found = programs[archive.split('.').at(-1) as keyof typeof programs]
  return found ? [found] : []
}

/** A path in the rescue system is written rescue:/path; everything else is a file of this machine. */
export function remoteArchive(archive: string): string | undefined {
  return archive.startsWith('rescue:') ? archive.slice(7) : undefined
}

/**
 * Unpacks the archive of a root file system, which must be whole: what was streamed is compared by its SHA-256, and a root
 * has a shell and says which system it is.
 */
export async function unpack(host: Host, session: Session, archive: string): Promise<void> {
  const flags = [packing(archive), '-x', '-p', '--numeric-owner', '--xattrs', '--xattrs-include=*', '--acls']
  const there = remoteArchive(archive)
  const check = sh`if [ ! -e ${`${newRoot}/etc/os-release`} ] || [ ! -e ${`${newRoot}/bin/bash`} ]; then
  echo ${`${archive} is not the archive of a root file system: it has no etc/os-release or bin/bash`} >&2
  exit ${codes.refused}
fi
sync -f ${newRoot}`
  if (there) {
    const script = lines(sh`tar -f ${there} -C ${newRoot} ${flags}`, check)
    await attempt(host, session, exclusive(script, 'provision'), { timeout: 3 * 3600 })
    return
  }
  const sum = session.dryRun ? 'SHA256' : (await local`sha256sum ${archive}`).stdout.slice(0, 64)
  const whole = `${archive} did not arrive as it was sent: run this again`
  // tar stops at the archive's own end; what follows it must be read all the same.
  const script = sh`{ tee /dev/fd/3 | sha256sum > ${`${base}/sum`}; } 3>&1 | { tar -f - -C ${newRoot} ${flags}; cat > /dev/null; }
grep -q ${`^${sum} `} ${`${base}/sum`} || { echo ${whole} >&2; exit ${codes.unverified}; }`
  await host.feed(['cat', archive], exclusive(lines(script, check), 'provision'), 3 * 3600)
}

/** Unmounts and closes everything, so that the server can be reset. */
export async function closeRoot(host: Host, session: Session): Promise<void> {
  const script = sh`sync
if mountpoint -q ${base}; then umount -R ${base}; fi
if [ -e /dev/mapper/${mapped} ]; then udevadm settle; cryptsetup close ${mapped}; fi
sync`
  await attempt(host, session, exclusive(script, 'provision'), { timeout: 600 })
}
