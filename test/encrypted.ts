/** An encrypted host in a folder: its disk is a file, with real cryptsetup; its initramfs a tar. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { custodianIn } from '../ops/lib/custodian.ts'
import { Host } from '../ops/lib/host.ts'
import { addSlot } from '../ops/lib/slots.ts'
import { cost, volumeIn } from './header-box.ts'
import { Listener } from './hosts.ts'

/** Runs the custodians' verbs on such a host: DIR DISK VERB WORDS… */
export const custodiansScript = join(import.meta.dirname, 'fixtures/cli/custodians.ts')

/** Puts the keys into the image where Dropbear's hook does, for two kernels. While the file `full` is there, /boot is. */
export const updateInitramfs = (host: string) => `cd ${host}
[ ! -e full ] || { echo "No space left on device" >&2; exit 1; }
for kernel in 6.1 6.8; do
  tree=$(mktemp -d); mkdir -p "$tree/main/root-AbCdEf/.ssh"
  cp \${stale:-dropbear}/authorized_keys "$tree/main/root-AbCdEf/.ssh/"
  tar -C "$tree" -cf boot/initrd.img-$kernel . ; rm -r "$tree"
done`

/**
 * Makes one with one custodian's key slot; the prompt lets nobody in yet.
 * @param at a folder of its own; the host's folders are in `host` below it
 * @returns the path of its disk
 */
export async function encryptedHost(at: string, publicKey: string, passphrase: string): Promise<string> {
  const host = join(at, 'host')
  for (const name of ['bin', 'dropbear', 'boot']) mkdirSync(join(host, name), { recursive: true })
  const programs = {
    'update-initramfs': updateInitramfs(host),
    unmkinitramfs: 'mkdir -p "$2"; tar -C "$2" -xf "$1"',
  }
  for (const [name, body] of Object.entries(programs))
    writeFileSync(join(host, 'bin', name), `#!/bin/bash\n${body}\n`, { mode: 0o755 })
  const disk = volumeIn(at, passphrase)
  const custodian = custodianIn(join(dirname(publicKey), '.env'), basename(publicKey))
  const session = new Listener()
  await addSlot(new Host('local', [], session), session, disk, { slot: 0, custodian, passphrase, cost })
  return disk
}
