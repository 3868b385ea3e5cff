import { runInside } from './chroot.ts'
import { authorizedLine, type Custodian } from './custodian.ts'
import { attempt, codes, exclusive } from './exclusive.ts'
import type { Host } from './host.ts'
import { newRoot } from './layout.ts'
import type { Session } from './session.ts'
import { type Script, sh } from './sh.ts'

/** Looks into every image that can be started and at the boot loader's entries; the words are for the operator. */
export function offlineScript(uuid: string, custodians: readonly Custodian[]): Script {
  const lines = custodians.map(authorizedLine)
  return sh`bad() { echo "$1" >&2; exit ${codes.unverified}; }
grep -qx ${`cryptroot UUID=${uuid} none luks,discard,initramfs,tries=0`} /etc/crypttab || bad 'crypttab is not as written'
dir=$(mktemp -d -p /var/tmp)
trap 'rm -rf "$dir"' EXIT
shopt -s nullglob
images=(/boot/initrd.img-*)
[ "\${#images[@]}" -gt 0 ] || bad 'there is no initramfs in /boot'
for image in "\${images[@]}"; do
  kernel=\${image#/boot/initrd.img-}
  [ -s "/boot/vmlinuz-$kernel" ] || bad "there is an initramfs for $kernel, but not that kernel"
  unmkinitramfs "$image" "$dir/image"
  main=$dir/image
  if [ -d "$main/main" ]; then main=$main/main; fi
  has() { local found; found=$(find "$main" -path "*$1" -print -quit); [ -n "$found" ] || bad "the initramfs of $kernel lacks $2"; }
  has '/sbin/dropbear' Dropbear
  has '/bin/cryptroot-unlock' cryptroot-unlock
  has '/dropbear_ed25519_host_key' "Dropbear's host key"
  has '/init-bottom/everyskill-netplan' 'the script that removes what netplan left'
  grep -q 'virtio_net\.ko' "/lib/modules/$kernel/modules.builtin" || has '/virtio_net.ko*' virtio_net
  tab=$(cat "$main/cryptroot/crypttab" 2> /dev/null || true)
  case $tab in *tries=0*) ;; *) bad "the crypttab in the initramfs of $kernel has no tries=0: $tab" ;; esac
  case $tab in *${uuid}*) ;; *) bad "the crypttab in the initramfs of $kernel is for another disk: $tab" ;; esac
  keys=$(find "$main" -name authorized_keys -print -quit)
  [ -n "$keys" ] || bad "the initramfs of $kernel has no authorized_keys"
  printf '%s\n' ${lines} | cmp -s - "$keys" || bad "authorized_keys in the initramfs of $kernel are not the custodians'"
  [ "$(stat -c %a "$image")" = 600 ] || bad "$image can be read by others"
  rm -rf "$dir/image"
done
config=/boot/grub/grub.cfg
grep -q '^set superusers=' "$config" || bad 'the entries of GRUB can be edited'
grep -q '^[[:space:]]*menuentry .*--class gnu-linux' "$config" || bad 'GRUB has no entry that starts Linux'
if [ -n "$(grep '^[[:space:]]*menuentry .*--class gnu-linux' "$config" | grep -v -- --unrestricted)" ]; then bad 'an entry of GRUB asks for a password that nobody has'; fi
grep -q '^[[:space:]]*linux.* panic=10' "$config" || bad 'the kernel is started without panic=10'
if grep -qE '^[[:space:]]*linux.* (single|recovery)' "$config"; then bad 'GRUB has a recovery entry'; fi`
}

/**
 * Judges the new system before it is started: what could lock everybody out, or let somebody in.
 * @throws Fail `unverified` naming the first thing that is not as it should be
 */
export async function checkOffline(
  host: Host,
  session: Session,
  uuid: string,
  custodians: readonly Custodian[],
): Promise<void> {
  await runInside(host, session, offlineScript(uuid, custodians), { timeout: 1800 })
}

/** Fails when a passphrase stands in a file of the rescue system or where the new one keeps configuration and logs. */
export async function searchPassphrases(
  host: Host,
  session: Session,
  passphrases: readonly string[],
): Promise<void> {
  const places = ['boot', 'etc', 'root', 'var/log', 'var/tmp', 'tmp'].map((dir) => `${newRoot}/${dir}`)
  const script = sh`found=$(grep -rlsF -D skip --exclude-dir=.oldroot '--exclude=*.tar.*' -f - /root /tmp /var/tmp /var/log /run /dev/shm ${places} | head -n 3 || true)
if [ -n "$found" ]; then echo "a passphrase stands in $found" >&2; exit ${codes.unverified}; fi`
  const input = `${passphrases.join('\n')}\n`
  await attempt(host, session, exclusive(script, 'provision'), { input, timeout: 900 })
}
