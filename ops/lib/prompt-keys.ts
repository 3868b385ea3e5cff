import { authorizedLine, type Custodian } from './custodian.ts'
import { attempt, codes } from './exclusive.ts'
import { Fail } from './fail.ts'
import type { Host } from './host.ts'
import type { Session } from './session.ts'
import { sh } from './sh.ts'

/** Who the unlock prompt lets in. It counts once it is in the initramfs of every kernel. */
export const promptKeys = '/etc/dropbear/initramfs/authorized_keys'

/** The key of a line of `promptKeys`, and whose it is. */
export interface PromptKey {
  name: string
  /** Type and base64. */
  key: string
}

/**
 * The keys in the text of an authorized_keys file that `authorizedLine` wrote.
 * @throws Fail `refused` for a line of another kind, which would be lost when the file is written again
 */
export function promptKeysIn(text: string): PromptKey[] {
  const lines = text.split('\n').filter((line) => /^\s*[^#\s]/.test(line))
  return lines.map((line) => {
    const [, key, name] = /(?:^|\s)((?:ssh|ecdsa)-\S+ \S+) (\S+)$/.exec(line) ?? []
    if (key && name) return { name, key }
    throw new Fail(
      'refused',
      `${promptKeys} has a line that ends with no custodian's name: ${line.slice(0, 60)}… Give it one, or delete it`,
    )
  })
}

/** The keys that will be let in, as they stand on the system's disk. */
export async function keysAtPrompt(host: Host): Promise<PromptKey[]> {
  return promptKeysIn(await host.read(sh`cat ${promptKeys} 2> /dev/null || true`))
}

/**
 * Writes who is let in, and renews the initramfs.
 * @param keys the whole list
 */
export async function letIn(host: Host, session: Session, keys: readonly PromptKey[]): Promise<void> {
  const text = keys.map(({ name, key }) => authorizedLine({ name, key } as Custodian))
  await host.put(promptKeys, `${text.join('\n')}\n`, { mode: '0600' })
  await renewInitramfs(host, session)
}

/**
 * Makes the initramfs of every kernel anew, and looks into each: it lets in who stands in the file, and nobody else. An old one
 * that kept a revoked key would be booted some day.
 * @throws Fail `unverified` naming the image that does not
 */
export async function renewInitramfs(host: Host, session: Session): Promise<void> {
  const script = sh`update-initramfs -u -k all > /dev/null
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
seen=0
for image in /boot/initrd.img-*; do
  [ -f "$image" ] || continue
  rm -rf "\${dir:?}"/*
  unmkinitramfs "$image" "$dir/image" 2> /dev/null
  find "$dir/image" -path '*/root-*/.ssh/authorized_keys' -type f -exec cat {} + > "$dir/keys"
  cmp -s "$dir/keys" ${promptKeys} || { echo "$image does not let in exactly the custodians of authorized_keys: is /boot full (df /boot)? An old image that no kernel belongs to: delete it" >&2; exit ${codes.unverified}; }
  seen=$((seen + 1))
done
[ "$seen" -gt 0 ] || { echo "there is no initramfs in /boot" >&2; exit ${codes.unverified}; }
sync /boot`
  await attempt(host, session, script, { timeout: 1800 })
}
