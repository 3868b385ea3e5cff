import { createHash } from 'node:crypto'
import { authorizedLine, type Custodian } from './custodian.ts'
import { mapped } from './header.ts'
import { card, initramfsIp, type Network, networkFile } from './system-network.ts'

/** A file of the new system. */
export interface SystemFile {
  path: string
  content: string
  mode: string
}

export interface System {
  hostname: string
  network: Network
  custodians: readonly Custodian[]
  /** The operator's public keys. */
  keys: readonly string[]
  unlockPort: string
  /** The console that gets the passphrase prompt: tty0 is the one that Hetzner shows. */
  console: string
  /** UUIDs of the LUKS header and of the file system of /boot. */
  luks: string
  boot: string
  /** What a system that stays has in its fstab besides / and /boot; undefined: it is a new one. */
  kept?: string | undefined
}

/** The kernel modules of a virtual machine's disk and network; a rescue system may run on others. */
export const modules = ['virtio_pci', 'virtio_net', 'virtio_scsi', 'virtio_blk', 'dm_crypt']

/** What the kernel is started with. The last console is the one that asks. A panic ends in a restart, never in a shell. */
export function kernelLine({ console, kept }: Pick<System, 'console' | 'kept'>): string {
  const consoles = ['ttyS0,115200', 'tty0'].sort(
    (a, b) => Number(a.startsWith(console)) - Number(b.startsWith(console)),
  )
  const names = kept === undefined ? ['net.ifnames=0', 'biosdevname=0'] : []
  return [...consoles.map((name) => `console=${name}`), ...names, 'panic=10'].join(' ')
}

function file(path: string, lines: readonly string[], mode = '0644'): SystemFile {
  return { path, content: `${lines.join('\n')}\n`, mode }
}

/** Every file of ours in the system, new or kept. The boot loader's password belongs to nobody: no line gives it one. */
export function systemFiles(system: System): SystemFile[] {
  const { custodians, kept, luks, boot, unlockPort } = system
  return [
    file('/etc/crypttab', [`${mapped} UUID=${luks} none luks,discard,initramfs,tries=0`]),
    file('/etc/fstab', [
      `/dev/mapper/${mapped} / ext4 errors=remount-ro 0 1`,
      `UUID=${boot} /boot ext4 defaults,nosuid,nodev 0 2`,
      ...(kept ? [kept] : []),
    ]),
    file('/etc/dropbear/initramfs/dropbear.conf', [`DROPBEAR_OPTIONS="-p ${unlockPort} -s -j -k -I 180"`]),
    file('/etc/dropbear/initramfs/authorized_keys', custodians.map(authorizedLine), '0600'),
    file('/etc/initramfs-tools/conf.d/everyskill', [
      ...(system.network.kind === 'dhcp' && kept === undefined ? [`DEVICE=${card}`] : []),
      `IP=${initramfsIp(system)}`,
      'RESUME=none',
      'UMASK=0077',
    ]),
    file('/usr/share/initramfs-tools/modules.d/everyskill', modules),
    file(
      '/etc/initramfs-tools/scripts/init-bottom/everyskill-netplan',
      [
        ...['#!/bin/sh', '# What the initramfs notes of its network would add routes to the running system.'],
        ...['case "$1" in prereqs) exit 0 ;; esac', 'rm -f /run/netplan/*.yaml'],
      ],
      '0755',
    ),
    file('/etc/default/grub.d/99-everyskill.cfg', [
      ...['GRUB_DEFAULT=0', 'GRUB_TIMEOUT=1', 'GRUB_RECORDFAIL_TIMEOUT=1', 'GRUB_DISABLE_SUBMENU=y'],
      ...['GRUB_DISABLE_RECOVERY=true', 'GRUB_DISABLE_OS_PROBER=true'],
      // What is given last counts; a kept system keeps its own words before.
      ...(kept === undefined ? ['GRUB_CMDLINE_LINUX=""', 'GRUB_CMDLINE_LINUX_DEFAULT=""'] : []),
      `GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT ${kernelLine(system)}"`,
      ...['GRUB_TERMINAL="console serial"', 'GRUB_SERIAL_COMMAND="serial --speed=115200 --unit=0"'],
    ]),
    file(
      '/etc/grub.d/01_everyskill',
      [
        ...['#!/bin/sh', '# A superuser without a password: nobody edits an entry or gets a command line.'],
        ...[`cat << 'EOF'`, 'set superusers="nobody"', 'export superusers', 'EOF'],
      ],
      '0755',
    ),
    ...(kept === undefined ? freshFiles(system) : []),
  ]
}

/** What only a new system gets: a name, a network, its operator. */
function freshFiles({ hostname, network, keys }: System): SystemFile[] {
  return [
    file('/etc/hostname', [hostname]),
    file('/etc/hosts', ['127.0.0.1 localhost', `127.0.1.1 ${hostname}`, '::1 localhost ip6-localhost']),
    file('/etc/machine-id', ['uninitialized'], '0444'),
    file('/etc/systemd/network/10-everyskill.network', networkFile(network)),
    file('/etc/cloud/cloud-init.disabled', ['provisioned by ops/provision-luks.ts']),
    file('/etc/ssh/sshd_config.d/00-everyskill.conf', [
      ...[
        'PermitRootLogin prohibit-password',
        'PasswordAuthentication no',
        'KbdInteractiveAuthentication no',
      ],
    ]),
    file('/root/.ssh/authorized_keys', keys, '0600'),
  ]
}

/** Tells one wish from another, so that a phase that was done for another one is done again. */
export function configurationOf(files: readonly SystemFile[]): string {
  return createHash('sha256').update(JSON.stringify(files)).digest('hex').slice(0, 12)
}
