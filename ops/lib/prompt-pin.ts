import { $ } from 'zx'
import { type Picked, pathIn } from './env.ts'
import type { Session } from './session.ts'

/**
 * Whether the unlock prompt that answers shows the host key that is pinned for it. Provisioning pins it once the new system
 * was verified: another key is that of a system that never was, or somebody in between. Nothing secret is sent.
 */
export async function promptIsPinned(
  session: Session,
  envFile: string,
  env: Picked<'SERVER_HOST' | 'UNLOCK_PORT' | 'UNLOCK_KNOWN_HOSTS'>,
): Promise<boolean> {
  const { SERVER_HOST: host, UNLOCK_PORT: port } = env
  const name = port === '22' ? host : `[${host}]:${port}`
  const file = pathIn(envFile, env.UNLOCK_KNOWN_HOSTS ?? '')
  const [shown, known] = await Promise.all([
    $`ssh-keyscan -T 10 -t ed25519 -p ${port} ${host}`.nothrow().quiet(),
    $`ssh-keygen -F ${name} -f ${file}`.nothrow().quiet(),
  ])
  const keysIn = (text: string): string[] => text.match(/ssh-ed25519 [A-Za-z0-9+/=]+/g) ?? []
  const pinned = keysIn(shown.stdout).some((key) => keysIn(known.stdout).includes(key))
  if (!pinned)
    session.say(`  the prompt of ${name} has a host key that is not pinned: no call has verified its system`)
  return pinned
}
