import { existsSync, rmSync } from 'node:fs'
import type { Container } from './containers.ts'
import { BOX, DOMAIN } from './env.ts'
import { ADDRESS } from './keys.ts'
import { $, labDir, labPath } from './shell.ts'

/** A whole engine in a container needs these; not SYS_TIME, SYS_BOOT, SYS_MODULE or SYS_RAWIO. */
const serverCapabilities =
  'SYS_ADMIN NET_ADMIN NET_RAW SYS_PTRACE SYS_NICE MKNOD DAC_READ_SEARCH AUDIT_WRITE AUDIT_CONTROL SETFCAP LINUX_IMMUTABLE IPC_LOCK IPC_OWNER LEASE SYSLOG NET_BROADCAST'.split(
    ' ',
  )

/** The serial number of the machine's disk. */
export const SERIAL = 'LAB4242'

const unconfined = ['seccomp', 'apparmor', 'systempaths'].flatMap((what) => [
  '--security-opt',
  `${what}=unconfined`,
])

export function serverContainer(): Container {
  return {
    name: 'server',
    address: ADDRESS.server,
    volumes: { 'everyskill-lab-server': '/var/lib/docker' },
    options: [
      ...serverCapabilities.flatMap((name) => ['--cap-add', name]),
      ...unconfined,
      ...[
        '--device-cgroup-rule',
        'a *:* rwm',
        '--cgroupns',
        'host',
        '--volume',
        '/sys/fs/cgroup:/sys/fs/cgroup:rw',
      ],
      ...['--tmpfs', '/run:exec,mode=755', '--tmpfs', '/tmp:exec,mode=1777'],
      ...['--env', `NAME_SERVER=${ADDRESS.hetzner}`],
    ],
    prepare: async (container) => {
      await place(container, '/root/.ssh/authorized_keys', labPath('keys', 'operator.pub'), '600')
      await placeHostKey(container, 'server_host')
    },
  }
}

const boxVolume = 'everyskill-lab-box'

export function boxContainer(): Container {
  return {
    name: 'storagebox',
    address: ADDRESS.storagebox,
    volumes: { [boxVolume]: '/box' },
    options: [
      ...['--cap-add', 'SYS_ADMIN', ...unconfined, '--memory', '512m'],
      ...['--env', `MAIN=${BOX.main}`, '--env', `SUB=${BOX.sub}`, '--env', `SUB_DIR=${BOX.directory}`],
    ],
    prepare: async (container) => {
      await place(container, '/keys/main.pub', labPath('keys', 'box_admin.pub'), '644')
      await place(container, '/keys/sub.pub', labPath('keys', 'box.pub'), '644')
      await placeHostKey(container, 'box_host')
    },
  }
}

/** Through this folder the API switches the machine of luksContainer on and off. */
const power = () => ['--volume', `${labDir('power')}:/power`]

/** Of the box it sees the whole content, and keeps its snapshots where the box's accounts do not reach. It comes after the box. */
export function hetznerContainer(): Container {
  const names = {
    'api.hetzner.cloud': ADDRESS.hetzner,
    pebble: ADDRESS.pebble,
    storagebox: ADDRESS.storagebox,
  }
  const pairs = Object.entries(names).map(([name, address]) => `${name}=${address}`)
  return {
    name: 'hetzner',
    address: ADDRESS.hetzner,
    volumes: { 'everyskill-lab-snapshots': '/snapshots' },
    options: [
      ...['--memory', '256m', '--volume', `${labPath('certs')}:/certs:ro`, '--volume', `${boxVolume}:/box`],
      ...['--env', `ZONE=${DOMAIN}`, '--env', `WILDCARD=${ADDRESS.server}`, '--env', `NAMES=${pairs.join()}`],
      ...['--env', `BOX=${BOX.main}`, '--env', `SERVER=${ADDRESS.luks}`, ...power()],
    ],
  }
}

/** The rented server with an empty disk, for what starts before its system does. It comes after Hetzner. */
export function luksContainer(): Container {
  const kvm = existsSync('/dev/kvm') ? ['--device', '/dev/kvm'] : []
  return {
    name: 'luks',
    address: ADDRESS.luks,
    volumes: { 'everyskill-lab-disk': '/disk' },
    options: ['--env', `SERIAL=${SERIAL}`, ...power(), ...kvm],
  }
}

export function pebbleContainer(): Container {
  const options = ['--memory', '256m', '--volume', `${labPath('certs')}:/certs:ro`]
  return { name: 'pebble', address: ADDRESS.pebble, options }
}

async function placeHostKey(container: string, key: string): Promise<void> {
  await place(container, '/etc/ssh/ssh_host_ed25519_key', labPath('keys', key), '600')
  await place(container, '/etc/ssh/ssh_host_ed25519_key.pub', labPath('keys', `${key}.pub`), '644')
}

/** Copies one file into a container that has not started yet, owned by root; a missing directory becomes 0700. */
async function place(container: string, to: string, from: string, mode: string): Promise<void> {
  const stage = labPath('cache', `stage-${container}`)
  const path = to.slice(1)
  await $`rm -rf ${stage}; install -D -m ${mode} ${from} ${stage}/${path}; chmod 700 $(dirname ${stage}/${path})`
  const directory = path.slice(0, path.lastIndexOf('/'))
  const members = directory === 'etc/ssh' ? [path] : [directory]
  await $`tar -C ${stage} --owner=0 --group=0 --numeric-owner -cf - ${members} | docker cp - ${`${container}:/`}`
  rmSync(stage, { recursive: true, force: true })
}
