import { $ } from 'zx'
import { type Picked, pathIn } from './env.ts'
import type { Session } from './session.ts'

/** The host keys, as type and base64, that a known_hosts file has for an ssh server; none when there is no such file. */
export async function pinnedKeys(host: string, port: string, file: string): Promise<string[]> {
  // ssh looks hosts up in small letters.
  const name = (port === '22' ? host : `[${host}]:${port}`).toLowerCase()
  return keysIn((await $`ssh-keygen -F ${name} -f ${file}`.nothrow().quiet()).stdout)
}

/** Whether an ssh server shows a host key that a known_hosts file has for it. Nothing secret is sent. */
export async function showsPinnedKey(host: string, port: string, file: string): Promise<boolean> {
  const known = await pinnedKeys(host, port, file)
  if (known.length === 0) return false
  const types = known.map((key) => key.replace(/^ssh-| .*$/g, '').replace(/-sha2-.*$/, ''))
  const shown = await $`ssh-keyscan -T 10 -t ${types.join(',')} -p ${port} ${host}`.nothrow().quiet()
  return keysIn(shown.stdout).some((key) => known.includes(key))
}

function keysIn(text: string): string[] {
  return text.match(/\b(?:ssh|ecdsa)-[a-z0-9-]+ [A-Za-z0-9+/=]+/g) ?? []
}

/**
 * Whether the unlock prompt that answers shows the host key that is pinned for it. Provisioning pins it once the new system
 * was verified: another key is that of a system that never was, or somebody in between.
 */
export async function promptIsPinned(
  session: Session,
  envFile: string,
  env: Picked<'SERVER_HOST' | 'UNLOCK_PORT' | 'UNLOCK_KNOWN_HOSTS'>,
): Promise<boolean> {
  const { SERVER_HOST: host, UNLOCK_PORT: port } = env
  const pinned = await showsPinnedKey(host, port, pathIn(envFile, env.UNLOCK_KNOWN_HOSTS ?? ''))
  if (!pinned)
    session.say(`  the prompt of ${host} has a host key that is not pinned: no call has verified its system`)
  return pinned
}
