import { codes } from './exclusive.ts'
import { base, luksLabel, partitionNames, release } from './layout.ts'
import { notOpened } from './luks-format.ts'
import { phaseLine, phasesFile } from './new-root.ts'
import type { KeptLayout } from './preserve-layout.ts'
import { lines, type Script, sh } from './sh.ts'
import { type Cost, costFlags } from './slots.ts'

/** KiB that the encryption takes of the partition, and that the file system must leave: the header, twice. */
export const reserve = 32 * 1024

/** Defines `kib`, the size of an ext4 file system, and `fits`, which ends the script when it is larger than it may be. */
const measure = sh`kib() { LC_ALL=C dumpe2fs -h "$1" 2> /dev/null | awk -F: '/^Block count:/ { count = $2 } /^Block size:/ { size = $2 } END { print count * size / 1024 }'; }
fits() { local has; has=$(kib "$1"); [ "$has" -gt 0 ] && [ "$has" -le "$2" ] || { echo "the file system on $1 has $has KiB, and there is room for $2: nothing was cut" >&2; exit ${codes.unverified}; }; }`

/** Defines `part` and what is to become of it: sectors of 512 bytes, `room` in KiB. The new root ends on a MiB. */
function plan({ disk, luks, bootMiB }: KeptLayout): Script {
  return sh`disk=${disk}
part=${luks}
[ "$(blockdev --getss "$disk")" -eq 512 ] || { echo "$disk has sectors of another size than 512: wipe it instead" >&2; exit ${codes.refused}; }
sys=/sys/class/block/\${part#/dev/}
start=$(cat "$sys/start")
sectors=$(cat "$sys/size")
bootmib=${bootMiB}
reserve=${reserve}
bootstart=$(((start + sectors - bootmib * 2048) / 2048 * 2048))
room=$(((bootstart - start) / 2 - reserve))`
}

/** Checks the file system, makes it small enough, and checks it again; nothing is cut here. */
export function shrinkScript(layout: KeptLayout, where = plan(layout)): Script {
  return lines(
    release,
    measure,
    where,
    sh`code=0; e2fsck -fp "$part" > /dev/null || code=$?
[ "$code" -le 1 ] || { echo "e2fsck finds faults on $part that it does not mend alone: e2fsck -f $part" >&2; exit ${codes.refused}; }
least=$(LC_ALL=C resize2fs -P "$part" 2> /dev/null | awk -F: '/minimum size/ { print $2 }')
block=$(LC_ALL=C dumpe2fs -h "$part" 2> /dev/null | awk -F: '/^Block size:/ { print $2 + 0 }')
[ $((least * block / 1024)) -lt "$room" ] || { echo "the files on $part need $((least * block / 1024)) KiB, and $room are left besides /boot and the header: delete some, or wipe" >&2; exit ${codes.refused}; }
if [ "$(kib "$part")" -gt "$room" ]; then resize2fs "$part" "\${room}K" > /dev/null; fi
e2fsck -fn "$part" > /dev/null
fits "$part" "$room"
sync "$part"`,
  )
}

/** Ends the partition earlier, which loses nothing of a file system that fits, and makes one for /boot behind it. */
export function cutScript(layout: KeptLayout): Script {
  const { boot, luks } = layout.numbers
  const name = `${boot}:${partitionNames[1]}`
  return lines(
    measure,
    plan(layout),
    sh`fits "$part" "$room"
info=$(LC_ALL=C sgdisk -i ${luks} "$disk")
guid=$(sed -n 's/^Partition unique GUID: //p' <<< "$info")
label=$(sed -n "s/^Partition name: '\\(.*\\)'$/\\1/p" <<< "$info")
end=$((bootstart - 1))
last=$((start + sectors - 1))
sgdisk -a 1 -d ${luks} -n ${luks}":$start:$end" -t ${luks}:8309 -u ${luks}":$guid" -c ${luks}":$label" -n ${boot}":$bootstart:$last" -t ${boot}:8300 -c ${name} "$disk" > /dev/null
blockdev --rereadpt "$disk" || partx --update "$disk"
udevadm settle
[ "$(cat "$sys/start")" -eq "$start" ] && [ "$(cat "$sys/size")" -eq $((bootstart - start)) ] || { echo "the kernel does not see the new partitions: run this again after a reset" >&2; exit ${codes.unverified}; }
wipefs --all --quiet --force ${layout.boot}
e2fsck -fn "$part" > /dev/null
sync "$disk"`,
  )
}

/** /boot on a file system of its own; its label says that the copy is whole. The old system learns what it is becoming. */
export function copyBootScript({ boot, luks }: KeptLayout): Script {
  const [old, fresh] = [`${base}/old`, `${base}/boot`]
  return sh`if mountpoint -q ${base}; then umount -R ${base}; fi
mkdir -p ${base}
mount -t tmpfs -o mode=700 everyskill ${base}
mount --make-private ${base}
trap ${`umount -R ${base}`} EXIT
mkdir -p ${old} ${fresh}
blkdiscard --zeroout --force ${boot}
mkfs.ext4 -q -F ${boot}
mount ${luks} ${old}
mount ${boot} ${fresh}
[ -e ${`${old}/etc/os-release`} ] || { echo ${`${luks} holds no system`} >&2; exit ${codes.refused}; }
find ${`${old}/boot`} -mindepth 1 -maxdepth 1 ! -name efi -exec cp -a -t ${fresh} {} +
mkdir -p ${`${old}/etc/everyskill`}
printf '%s\n' ${phaseLine('preserved')} ${phaseLine('installed')} > ${`${old}${phasesFile}`}
sync
umount ${fresh} ${old}
e2label ${boot} ${partitionNames[1]}
sync ${boot}`
}

/** Writes the header, and no more: what is there stays readable until the next script has passed over it. */
export function beginScript(layout: KeptLayout, cost: Cost): Script {
  const { luks, boot } = layout
  const cipher = ['--cipher', 'aes-xts-plain64', '--key-size', '512', '--label', luksLabel]
  return lines(
    release,
    measure,
    sh`part=${luks}
boot=${boot}
[ "$(e2label "$boot")" = ${partitionNames[1]} ] || { echo "/boot was not copied" >&2; exit ${codes.unverified}; }
reserve=${reserve}
bytes=$(blockdev --getsize64 "$part")
fits "$part" $((bytes / 1024 - reserve))
cryptsetup reencrypt --encrypt --init-only --type luks2 --batch-mode ${cipher} ${costFlags(cost)} --reduce-device-size 32M --key-file=- "$part" > /dev/null
sync "$part"`,
  )
}

/**
 * Encrypts what is left, however often it was interrupted; nothing where it is done. The passphrase comes on stdin without a
 * newline. Cut within a write, by a loss of power or SIGKILL, cryptsetup refuses to resume before `repair` (cryptsetup-repair(8)),
 * which changes nothing where it is not needed.
 */
export function goOnScript(device: string): Script {
  return sh`pending() {
  local header
  header=$(LC_ALL=C cryptsetup luksDump ${device}) || exit 1
  grep -q '^Requirements:.*reencrypt' <<< "$header"
}
pending || exit 0
IFS= read -rd '' key || true
given() { printf %s "$key" | "$@" --batch-mode --key-file=- ${device} > /dev/null || ${notOpened}; }
given cryptsetup repair
given cryptsetup reencrypt --resume-only
if pending; then echo ${`the encryption of ${device} is not at its end: run this again`} >&2; exit ${codes.unverified}; fi
sync ${device}`
}
