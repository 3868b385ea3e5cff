import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { runInside } from './chroot.ts'
import { attempt, exclusive } from './exclusive.ts'
import { Fail } from './fail.ts'
import type { Host } from './host.ts'
import { type Layout, newRoot } from './layout.ts'
import type { SystemFile } from './new-system.ts'
import { privateDir } from './private-dir.ts'
import type { Session } from './session.ts'
import { lines, type Script, sh } from './sh.ts'

const dropbearKey = '/etc/dropbear/initramfs/dropbear_ed25519_host_key'

/** The identifiers that crypttab and fstab name. */
export async function identifiers(
  host: Host,
  { luks, boot }: Layout,
): Promise<{ luks: string; boot: string }> {
  const text = await host.read(sh`cryptsetup luksUUID ${luks}; blkid -p -s UUID -o value ${boot}`)
  const [uuid = '', other = ''] = text.split('\n')
  return { luks: uuid, boot: other }
}

/** Puts files into the new system, all of them or none that is half; their folders get the usual mode. */
export async function putSystemFiles(
  host: Host,
  session: Session,
  files: readonly SystemFile[],
): Promise<void> {
  for (const { path } of files) if (session.dryRun) session.wouldRun(host.name, `write ${newRoot}${path}`)
  const dir = privateDir(session)
  for (const { path, content, mode } of files) {
    const file = join(dir, path)
    mkdirSync(dirname(file), { recursive: true, mode: path.includes('/.ssh/') ? 0o700 : 0o755 })
    writeFileSync(file, content)
    chmodSync(file, Number.parseInt(mode, 8))
  }
  const names = files.map(({ path }) => `.${path}`)
  // The folders of our own go along for their modes; those that are there keep theirs.
  const folders = files.filter(({ path }) => path.includes('/.ssh/')).map(({ path }) => `.${dirname(path)}`)
  const owner = ['--owner=0', '--group=0', '--numeric-owner', '--no-recursion']
  await host.feed(
    ['tar', '-C', dir, '-c', ...owner, ...new Set(folders), ...names],
    exclusive(
      sh`umask 022
tar -x -p --no-overwrite-dir --numeric-owner -C ${newRoot} -f -
sync -f ${newRoot}`,
      'provision',
    ),
    600,
  )
}

/** A host key of the prompt's own; /boot is plain, so it must not be sshd's. */
export const promptKey = sh`find /etc/dropbear/initramfs -name 'dropbear_*_host_key*' -delete
dropbearkey -t ed25519 -f ${dropbearKey} > /dev/null
chmod 600 ${dropbearKey}
ssh-keygen -q -A
rm -f /installimage.conf
sync`

/** A new system's own parts: sshd's host keys that nobody had before, networkd, no password, no network but ours. */
export const freshParts = sh`rm -f /etc/ssh/ssh_host_* /etc/netplan/*.yaml
passwd -q -l root
systemctl enable systemd-networkd > /dev/null
systemctl mask networking.service > /dev/null
if [ ! -e /usr/lib/systemd/systemd-resolved ]; then
  rm -f /etc/resolv.conf
  cat /run/systemd/resolve/stub-resolv.conf > /etc/resolv.conf
fi`

/** Lets the operator in besides those whom a system that stays lets in already. */
export function letOperatorIn(keys: readonly string[]): Script {
  return sh`mkdir -p /root/.ssh
chmod 700 /root/.ssh
touch /root/.ssh/authorized_keys
chmod 600 /root/.ssh/authorized_keys
for key in ${keys}; do grep -qxF "$key" /root/.ssh/authorized_keys || printf '\n%s\n' "$key" >> /root/.ssh/authorized_keys; done`
}

/** What no file of ours can say. @param kept the operator's keys, where the system stays as it is but for its disk */
export async function settleSystem(
  host: Host,
  session: Session,
  kept: readonly string[] | undefined,
): Promise<void> {
  await runInside(host, session, lines(kept ? letOperatorIn(kept) : freshParts, promptKey))
}

/** The public halves of the new host keys: of the unlock prompt's Dropbear and of the system's sshd. */
export async function hostKeys(host: Host, session: Session): Promise<{ prompt: string; sshd: string }> {
  const text = await runInside(
    host,
    session,
    sh`dropbearkey -y -f ${dropbearKey} | grep '^ssh-ed25519 '
cat /etc/ssh/ssh_host_ed25519_key.pub`,
  )
  const [prompt = '', sshd = ''] = text.split('\n')
  if (session.dryRun) return { prompt, sshd }
  const good = (key: string) => /^ssh-ed25519 [A-Za-z0-9+/=]{60,}/.test(key)
  if (good(prompt) && good(sshd) && prompt.split(' ')[1] !== sshd.split(' ')[1]) return { prompt, sshd }
  throw new Fail('unverified', 'the new system has no host keys of its own for the prompt and for sshd')
}

/** The image that asks for the passphrase, and the boot loader; the entries start without a password, and nothing else does. */
export const loader = (
  disk: string,
) => sh`sed -i '/--unrestricted/! s/^CLASS="\\(.*\\)"$/CLASS="\\1 --unrestricted"/' /etc/grub.d/10_linux
grep -q -- '^CLASS=.*--unrestricted' /etc/grub.d/10_linux
sed -i 's/^update_initramfs=.*/update_initramfs=yes/' /etc/initramfs-tools/update-initramfs.conf
for kernel in /boot/vmlinuz-*; do
  version=\${kernel#/boot/vmlinuz-}
  if [ -e "/boot/initrd.img-$version" ]; then update-initramfs -u -k "$version"; else update-initramfs -c -k "$version"; fi
done
grub-install --target=i386-pc ${disk} 2>&1
update-grub 2>&1
sync`

export async function makeBootable(host: Host, session: Session, { disk }: Layout): Promise<void> {
  await runInside(host, session, loader(disk), { timeout: 3600 })
  await attempt(host, session, exclusive(sh`sync ${disk}`, 'provision'), { timeout: 300 })
}
