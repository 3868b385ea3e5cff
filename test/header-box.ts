/** What header backups need, in a folder: a Storage Box that is a folder too, two custodians' gpg keys, a `.env`. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { costFlags } from '../ops/lib/slots.ts'
import { install, missing } from './harness/packages.ts'
import { boxIn } from './hosts.ts'

/** A cost that is only for tests. */
export const cost = { memory: 65, iterations: 4, parallel: 1 }

const settings = {
  STORAGEBOX_USER: 'u1-sub1',
  STORAGEBOX_HOST: 'box.example',
  STORAGEBOX_PORT: '23',
  STORAGEBOX_DIR: 'backups',
  STORAGEBOX_SSH_KEY: 'key',
  STORAGEBOX_KNOWN_HOSTS: 'known',
  BACKUP_GPG_RECIPIENTS: 'a.asc,b.asc',
  BACKUP_GPG_HOMEDIR: 'gpg-a',
}

/** @returns the settings of its `.env`, and a PATH on which `ssh` leads to the box */
export function headerBoxIn(dir: string): {
  env: typeof settings & { BACKUP_GPG_PASSPHRASE: undefined }
  path: string
} {
  install(missing({ cryptsetup: 'cryptsetup-bin', gpg: 'gnupg', rsync: 'rsync' }))
  for (const name of ['bin', 'box']) mkdirSync(join(dir, name), { recursive: true })
  for (const name of ['key', 'known']) writeFileSync(join(dir, name), '')
  for (const name of ['a', 'b']) {
    const home = join(dir, `gpg-${name}`)
    mkdirSync(home, { mode: 0o700 })
    const gpg = ['--homedir', home, '--batch', '--quiet', '--passphrase', '']
    execFileSync('gpg', [...gpg, '--quick-gen-key', name, 'future-default', 'default', 'never'], {
      stdio: 'pipe',
    })
    writeFileSync(join(dir, `${name}.asc`), execFileSync('gpg', [...gpg, '--armor', '--export', name]))
    execFileSync('gpgconf', ['--homedir', home, '--kill', 'gpg-agent'])
  }
  // It knows one key, and who asks it knows its host key from one file; ssh reads its stdin away.
  const own = `*" -i ${dir}/key "*" UserKnownHostsFile="*"${dir}/known"*`
  const knows = `case " $* " in ${own}) ;; *) echo 'Permission denied (publickey).' >&2; exit 255 ;; esac`
  const reads = `case " $* " in *" -n "* | *" rsync --server "*) ;; *) cat > /dev/null ;; esac`
  const ssh = `#!/bin/bash\n${knows}\n${reads}\n${boxIn(join(dir, 'box'), join(dir, 'log'))}\n`
  writeFileSync(join(dir, 'bin/ssh'), ssh, { mode: 0o755 })
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`)
  writeFileSync(join(dir, '.env'), `${lines.join('')}LUKS_MEMORY=10000\nLUKS_PARALLEL=1\n`, { mode: 0o600 })
  return {
    env: { ...settings, BACKUP_GPG_PASSPHRASE: undefined },
    path: `${join(dir, 'bin')}:${process.env.PATH}`,
  }
}

/** A volume in a file, with one slot that is nobody's yet. */
export function volumeIn(dir: string, passphrase: string): string {
  const file = join(dir, 'disk')
  writeFileSync(file, '')
  truncateSync(file, 20 << 20)
  const flags = ['--type', 'luks2', '--batch-mode', '--label', 'everyskill', '--key-size', '512']
  const format = ['luksFormat', ...flags, ...costFlags(cost), '--key-file=-', file]
  execFileSync('cryptsetup', format, { input: passphrase })
  return file
}
