import { createHash } from 'node:crypto'
import { authorizedLine, type Custodian } from './custodian.ts'
import { mapped } from './header.ts'

/** A file of the new system. */
export interface SystemFile {
  path: string
  content: string
  mode: string
}

/** The address that the server has at the unlock prompt and afterwards. */
export type Network =
  | { kind: 'dhcp'; ipv6: string | undefined }
  | { kind: 'static'; address: string; gateway: string; ipv6: string | undefined }

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
}

/** The network card's name, at the prompt and afterwards: the kernel is told not to invent another one. */
export const card = 'eth0'

/** The kernel modules of a virtual machine's disk and network; a rescue system may run on others. */
export const modules = ['virtio_pci', 'virtio_net', 'virtio_scsi', 'virtio_blk', 'dm_crypt']

/** The ip= of the initramfs: static with a /32 and a gateway outside of it, as Hetzner has it. */
export function initramfsIp({ network, hostname }: Pick<System, 'network' | 'hostname'>): string {
  if (network.kind === 'dhcp') return 'dhcp'
  return `${network.address}::${network.gateway}:255.255.255.255:${hostname}:${card}:off`
}

/** What the kernel is started with. The last console is the one that asks. A panic ends in a restart, never in a shell. */
export function kernelLine({ console }: Pick<System, 'console'>): string {
  const consoles = ['ttyS0,115200', 'tty0'].sort(
    (a, b) => Number(a.startsWith(console)) - Number(b.startsWith(console)),
  )
  return [...consoles.map((name) => `console=${name}`), 'net.ifnames=0', 'biosdevname=0', 'panic=10'].join(
    ' ',
  )
}

/** Every file of ours in the new system. The boot loader's password belongs to nobody: no line gives it one. */
export function systemFiles(system: System): SystemFile[] {
  const { custodians, hostname, keys, luks, boot, unlockPort } = system
  const file = (path: string, lines: readonly string[], mode = '0644') => ({
    ...{ path, content: `${lines.join('\n')}\n`, mode },
  })
  return [
    file('/etc/crypttab', [`${mapped} UUID=${luks} none luks,discard,initramfs,tries=0`]),
    file('/etc/fstab', [
      `/dev/mapper/${mapped} / ext4 errors=remount-ro 0 1`,
      `UUID=${boot} /boot ext4 defaults,nosuid,nodev 0 2`,
    ]),
    file('/etc/hostname', [hostname]),
    file('/etc/hosts', ['127.0.0.1 localhost', `127.0.1.1 ${hostname}`, '::1 localhost ip6-localhost']),
    file('/etc/machine-id', ['uninitialized'], '0444'),
    file('/etc/dropbear/initramfs/dropbear.conf', [`DROPBEAR_OPTIONS="-p ${unlockPort} -s -j -k -I 180"`]),
    file('/etc/dropbear/initramfs/authorized_keys', custodians.map(authorizedLine), '0600'),
    file('/etc/initramfs-tools/conf.d/everyskill', [
      ...(system.network.kind === 'dhcp' ? [`DEVICE=${card}`] : []),
      `IP=${initramfsIp(system)}`,
      'RESUME=none',
      'UMASK=0077',
    ]),
    file('/etc/initramfs-tools/modules', modules),
    file(
      '/etc/initramfs-tools/scripts/init-bottom/everyskill-netplan',
      [
        ...['#!/bin/sh', '# What the initramfs notes of its network would add routes to the running system.'],
        ...['case "$1" in prereqs) exit 0 ;; esac', 'rm -f /run/netplan/*.yaml'],
      ],
      '0755',
    ),
    file('/etc/systemd/network/10-everyskill.network', networkFile(system.network)),
    file('/etc/cloud/cloud-init.disabled', ['provisioned by ops/provision-luks.ts']),
    file('/etc/ssh/sshd_config.d/00-everyskill.conf', [
      ...[
        'PermitRootLogin prohibit-password',
        'PasswordAuthentication no',
        'KbdInteractiveAuthentication no',
      ],
    ]),
    file('/root/.ssh/authorized_keys', keys, '0600'),
    file('/etc/default/grub.d/99-everyskill.cfg', [
      ...['GRUB_DEFAULT=0', 'GRUB_TIMEOUT=1', 'GRUB_RECORDFAIL_TIMEOUT=1', 'GRUB_DISABLE_SUBMENU=y'],
      ...['GRUB_DISABLE_RECOVERY=true', 'GRUB_DISABLE_OS_PROBER=true', 'GRUB_CMDLINE_LINUX_DEFAULT=""'],
      `GRUB_CMDLINE_LINUX="${kernelLine(system)}"`,
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
  ]
}

/** networkd alone, so that one file says it all; both Ubuntu and Debian have it. */
function networkFile(network: Network): string[] {
  const fixed = network.kind === 'static'
  const addresses = [
    ...(fixed ? [`${network.address}/32`] : []),
    ...(network.ipv6 ? [`${network.ipv6}/64`] : []),
  ]
  const gateways = [...(fixed ? [network.gateway] : []), ...(network.ipv6 ? ['fe80::1'] : [])]
  return [
    ...['[Match]', `Name=${card}`, '[Network]', `DHCP=${fixed ? 'no' : 'ipv4'}`, 'IPv6AcceptRA=no'],
    ...addresses.map((address) => `Address=${address}`),
    ...(fixed ? ['DNS=185.12.64.1', 'DNS=185.12.64.2'] : []),
    ...gateways.flatMap((gateway) => ['[Route]', `Gateway=${gateway}`, 'GatewayOnLink=yes']),
  ]
}

/** Tells one wish from another, so that a phase that was done for another one is done again. */
export function configurationOf(files: readonly SystemFile[]): string {
  return createHash('sha256').update(JSON.stringify(files)).digest('hex').slice(0, 12)
}
