import { join } from 'node:path'
import { checkOpens, decryptor, type keyNames } from './ciphertext.ts'
import type { Picked } from './env.ts'
import type { Manifest } from './manifest.ts'
import { privateDir } from './private-dir.ts'
import type { Session } from './session.ts'
import type { Source } from './source.ts'

/** A backup that lies on this machine, whole and shown to open: ciphertext in a private folder, and the way to decrypt it. */
export interface Held {
  manifest: Manifest
  /** argv of gpg; it takes a file and gives plaintext out. */
  gpg: string[]
  /** Where one of its files lies. */
  file: (name: string) => string
}

/**
 * Fetches a backup, compares it with its manifest, and decrypts it once to nowhere. A dry run only reads the manifest.
 * @throws Fail `unverified` for a file that is truncated, altered, or made for another key
 */
export async function hold(
  source: Source,
  session: Session,
  label: string,
  envFile: string,
  env: Picked<(typeof keyNames)[number]>,
): Promise<Held> {
  const manifest = await source.manifest(label)
  const dir = privateDir(session)
  const gpg = decryptor(envFile, env, dir, session)
  if (!session.dryRun) {
    await session.step(`fetch ${label} from the ${source.name}`, () => source.fetch(manifest, dir))
    await session.step('decrypt it once to nowhere', () => checkOpens(gpg, manifest, dir, session))
  }
  return { manifest, gpg, file: (name) => join(dir, name) }
}
