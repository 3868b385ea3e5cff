import { join } from 'node:path'
import { envWith } from '../ops/deploy-helpers.ts'
import { $, $try, labPath } from './shell.ts'
import type { World } from './world.ts'

/** A custodian at a machine where no other's private key is. */
export interface Alone {
  /** A `.env` for it. */
  env: string
  /** Its GnuPG home. */
  home: string
  /** Ends its agent. */
  leave: () => Promise<void>
}

/** One custodian alone, in a folder of its own. */
export async function aloneWith(
  world: World,
  name: 'custodian-a' | 'custodian-b',
  dir: string,
): Promise<Alone> {
  const home = join(dir, name)
  const from = [
    '--homedir',
    labPath('gnupg'),
    '--batch',
    '--quiet',
    '--no-tty',
    '--pinentry-mode',
    'loopback',
  ]
  const key = `${name}@everyskill.test`
  await $`mkdir -m 700 ${home}; gpg ${from} --passphrase '' --export-secret-keys ${key} | gpg --homedir ${home} --batch --quiet --no-tty --import`
  return {
    env: envWith(world, join(dir, `${name}.env`), { BACKUP_GPG_HOMEDIR: home }),
    home,
    leave: async () => void (await $try`gpgconf --homedir ${home} --kill gpg-agent`),
  }
}
