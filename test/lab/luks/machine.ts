import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { containerName, ensureContainer, removeContainer } from '../containers.ts'
import { luksImage } from '../images.ts'
import { ADDRESS } from '../keys.ts'
import { luksContainer, SERIAL } from '../machines.ts'
import { $, $try, labPath, step, until } from '../shell.ts'
import { labUp, type World } from '../world.ts'

/** A rented server with an empty disk, in software or, where a guest really starts on it, on KVM. */
export interface Machine {
  world: World
  address: string
  /** The disk's serial number, and its size as a person says it. */
  serial: string
  /** Path of a `.env` that points the scripts at it, with alice and bob as custodians. */
  env: string
  /** `kvm` or `tcg`: the latter is software. */
  accelerator: string
  /** Power off, as with a pulled plug, or on: from the disk, or into the rescue system if that was asked for. */
  power: (wanted: 'off' | 'on') => Promise<void>
  /** What it said on its serial console since its power was last switched on. */
  console: () => Promise<string>
  /** Types on that console. */
  type: (keys: string) => Promise<void>
  /** Keeps the disk as it is, or puts a kept one back; the power is off then. */
  save: (name: string) => Promise<void>
  revert: (name: string) => Promise<void>
  saved: () => Promise<string[]>
  /** An empty disk, power off. */
  wipe: () => Promise<void>
  /** How often a text of plain characters stands on the raw disk. */
  found: (text: string) => Promise<number>
  /** Makes the next action of the API end with `unknown_error`. */
  failNext: () => Promise<void>
  /** Runs bash beside QEMU. */
  exec: (script: string) => Promise<string>
}

/** Where the rescue system has the archive of a root file system. */
export const archive = 'rescue:/root/images/delivered.tar.zst'
/** Of the disk; sparse. */
export const gibibytes = 6
const disk = '/disk/target.img'

/** Brings the lab up and beside it a machine with the power off; a disk that is there stays. */
export async function machineUp(): Promise<Machine> {
  const world = await labUp()
  await luksImage()
  const name = containerName('luks')
  await step('start the machine', () => ensureContainer(luksContainer()))
  const exec = async (script: string) => {
    const run = await $try({ timeout: '590s' })`docker exec ${name} bash -euo pipefail -c ${script}`
    if (!run.ok) throw new Error(`luks: ${script}: exit ${run.exitCode}: ${run.stderr.trim()}`)
    return run.stdout.trimEnd()
  }
  const power = async (wanted: 'off' | 'on') => {
    await exec(wanted === 'on' ? 'touch /power/on' : 'rm -f /power/on /power/reset')
    await until(`the power to be ${wanted}`, 30, async () =>
      (await exec('ls /power')).split('\n').includes('running') === (wanted === 'on') ? true : undefined,
    )
  }
  const copy = async (from: string, to: string) => {
    await power('off')
    await exec(`cp --sparse=always --reflink=auto ${from} ${to}.part; mv ${to}.part ${to}`)
  }
  await exec(`[ -e ${disk} ] || truncate -s ${gibibytes}G ${disk}; touch /disk/console.log /power/keys`)
  const accelerator = await until('the accelerator', 40, async () => {
    const said = await exec('cat /power/accelerator 2> /dev/null || true')
    return said || undefined
  })
  console.log('Debian trixie stands in for Ubuntu 24.04, QEMU for a server of Hetzner')
  console.log(`the machine runs on ${accelerator === 'kvm' ? 'KVM' : 'software emulation (no KVM here)'}`)
  return {
    world,
    address: ADDRESS.luks,
    serial: SERIAL,
    env: writeEnv(world),
    accelerator,
    power,
    console: () =>
      exec(
        `awk '/=== power on/ { said = "" } { said = said $0 "\\n" } END { printf "%s", said }' /disk/console.log`,
      ),
    type: async (keys) => {
      await $({ input: keys })`docker exec -i ${name} socat -u - UNIX-CONNECT:/run/vm/console`
    },
    save: (as) => copy(disk, `/disk/${as}.img`),
    revert: (as) => copy(`/disk/${as}.img`, disk),
    saved: async () => {
      const names = await exec("ls /disk | sed -n 's/\\.img$//p'")
      return names.split('\n').filter((one) => one !== '' && one !== 'target')
    },
    wipe: async () => {
      await power('off')
      await exec(`rm -f ${disk} /power/rescue; truncate -s ${gibibytes}G ${disk}; : > /disk/console.log`)
    },
    // A hole in the disk would be one line of many gigabytes, which grep cannot hold.
    found: async (text) =>
      Number(await exec(`tr '\\0' '\\n' < ${disk} | grep -acF '${text}' || [ $? -eq 1 ]`)),
    failNext: async () => void (await exec('touch /power/fail')),
    exec,
  }
}

/** Removes the machine with its disks. */
export async function machineDown(): Promise<void> {
  await removeContainer(luksContainer())
}

/** The lab's `.env`, but for another server, with two custodians and a guess that is cheap enough for software emulation. */
function writeEnv(world: World): string {
  const dir = labPath('luks', 'env')
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const own: Record<string, string> = {
    SERVER_HOST: ADDRESS.luks,
    SERVER_KNOWN_HOSTS: `${dir}/known_hosts`,
    HCLOUD_API: `https://${ADDRESS.hetzner}/v1`,
    HCLOUD_SERVER: 'everyskill',
    CUSTODIANS: ['alice', 'bob'].map((name) => labPath('keys', `${name}.pub`)).join(),
    UNLOCK_KNOWN_HOSTS: `${dir}/unlock_known_hosts`,
    UNLOCK_SSH_KEY: labPath('keys', 'alice'),
    LUKS_MEMORY: '65536',
    STORAGEBOX_DIR: 'disk',
  }
  // No more of the lab's secrets than the disk's scripts need.
  const wanted = /^(SERVER|HCLOUD|HETZNER_API|TRUSTED_ROOT|BACKUP_GPG|STORAGEBOX|EVERYSKILL_LAB)/
  const kept = readFileSync(world.env, 'utf8')
    .split('\n')
    .filter((line) => wanted.test(line) && !Object.hasOwn(own, line.split('=')[0] ?? ''))
  const lines = [...kept, ...Object.entries(own).map(([name, value]) => `${name}=${value}`)]
  writeFileSync(`${dir}/.env`, `${lines.join('\n')}\n`, { mode: 0o600 })
  return `${dir}/.env`
}

/** The name of the public key's owner, as the scripts derive it, and its private half. */
export const keyOf = (custodian: string) => labPath('keys', custodian)
