import { attempt, exclusive } from './exclusive.ts'
import type { Host } from './host.ts'
import { newRoot } from './layout.ts'
import type { Session } from './session.ts'
import { lines, type Script, sh } from './sh.ts'

/** /run is the new system's own: the rescue system's daemons are not to be found there, but its name servers are. */
const binds = sh`root=${newRoot}
for dir in dev proc sys; do
  if ! mountpoint -q "$root/$dir"; then
    mkdir -p "$root/$dir"
    mount --rbind "/$dir" "$root/$dir"
    mount --make-rslave "$root/$dir"
  fi
done
if ! mountpoint -q "$root/run"; then
  mkdir -p "$root/run"
  mount -t tmpfs -o mode=755 everyskill-run "$root/run"
  mkdir -p "$root/run/udev" "$root/run/lock" "$root/run/systemd/resolve"
  if [ -d /run/udev ]; then mount --bind /run/udev "$root/run/udev"; fi
  if [ -f /etc/resolv.conf ]; then cat /etc/resolv.conf > "$root/run/systemd/resolve/stub-resolv.conf"; fi
fi`

/** A script that runs inside the new system, on the rescue system's kernel. */
export function inside(script: Script): Script {
  const path = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
  const env = ['-i', path, 'HOME=/root', 'LC_ALL=C', 'DEBIAN_FRONTEND=noninteractive', 'NEEDRESTART_MODE=l']
  return lines(binds, sh`chroot ${newRoot} /usr/bin/env ${env} /bin/bash -euo pipefail -c ${script.text}`)
}

/** Runs a script inside the new system. @returns what it printed */
export async function runInside(
  host: Host,
  session: Session,
  script: Script,
  { timeout = 1800, changes = true }: { timeout?: number; changes?: boolean } = {},
): Promise<string> {
  return attempt(host, session, exclusive(inside(script), 'provision'), { timeout, changes })
}

/** What the new system must have, by a file that shows it; what brings it on Ubuntu and on Debian. */
export const packages: { shown: string; ubuntu: string; debian: string }[] = [
  { shown: '/boot/vmlinuz-*', ubuntu: 'linux-image-virtual', debian: 'linux-image-cloud-amd64' },
  { shown: '/usr/sbin/grub-install', ubuntu: 'grub-pc', debian: 'grub-pc' },
  { shown: '/usr/lib/grub/i386-pc/kernel.img', ubuntu: 'grub-pc-bin', debian: 'grub-pc-bin' },
  {
    shown: '/usr/share/initramfs-tools/hooks/cryptroot',
    ubuntu: 'cryptsetup-initramfs',
    debian: 'cryptsetup-initramfs',
  },
  {
    shown: '/usr/share/initramfs-tools/hooks/dropbear',
    ubuntu: 'dropbear-initramfs',
    debian: 'dropbear-initramfs',
  },
  { shown: '/usr/sbin/sshd', ubuntu: 'openssh-server', debian: 'openssh-server' },
]

const needs = lines(...packages.map(({ shown, ubuntu, debian }) => sh`need ${shown} ${ubuntu} ${debian}`))

/** Installs what is missing; where nothing is, the network is not asked. Nothing is started while it is installed. */
export const packagesScript: Script = sh`. /etc/os-release
missing=()
need() { compgen -G "$1" > /dev/null || { if [ "$ID" = ubuntu ]; then missing+=("$2"); else missing+=("$3"); fi; }; }
${needs}
# What an earlier call was cut off in is put in order first: files that are there do not tell that their package is whole.
if [ "\${#missing[@]}" -eq 0 ] && [ -z "$(dpkg --audit)" ]; then exit 0; fi
trap 'rm -f /usr/sbin/policy-rc.d' EXIT
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
# The image is made once, when all is in place.
if [ -f /etc/initramfs-tools/update-initramfs.conf ]; then sed -i 's/^update_initramfs=.*/update_initramfs=no/' /etc/initramfs-tools/update-initramfs.conf; fi
mkdir -p /etc/default
if [ ! -L /etc/resolv.conf ] && [ ! -s /etc/resolv.conf ]; then cat /run/systemd/resolve/stub-resolv.conf > /etc/resolv.conf; fi
get() { apt-get "$@" -y -qq --no-install-recommends -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold > /dev/null; }
dpkg --force-confdef --force-confold --configure -a > /dev/null || true
apt-get update -qq
get --fix-broken install
if [ "\${#missing[@]}" -gt 0 ]; then get install "\${missing[@]}"; fi
bad=$(dpkg --audit)
[ -z "$bad" ] || { echo "$bad" >&2; exit 1; }`
