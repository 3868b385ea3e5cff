import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { $ } from 'zx'
import { fileIn, pathIn } from './env.ts'
import { Fail } from './fail.ts'
import type { HostEnv } from './ssh.ts'

/**
 * The public keys of the operator, as they log in to the rescue system and to the new one: that of SERVER_SSH_KEY, else all
 * of the ssh agent's.
 * @throws Fail `usage` when there is none
 */
export async function operatorKeys(envFile: string, env: HostEnv): Promise<string[]> {
  if (env.SERVER_SSH_KEY) {
    const file = fileIn(envFile, 'SERVER_SSH_KEY', env.SERVER_SSH_KEY)
    if (existsSync(`${file}.pub`)) return [readFileSync(`${file}.pub`, 'utf8').trim()]
    const made = await $({ nothrow: true })`ssh-keygen -y -P "" -f ${file}`
    if (made.exitCode === 0) return [made.stdout.trim()]
    throw new Fail('usage', `${file}.pub does not exist: ssh-keygen -y -f ${file} > ${file}.pub`)
  }
  const agent = await $({ nothrow: true })`ssh-add -L`
  const keys = agent.stdout.split('\n').filter((line) => /^(ssh|ecdsa|sk)-/.test(line))
  if (agent.exitCode === 0 && keys.length > 0) return keys
  throw new Fail(
    'usage',
    `${envFile}:\n  SERVER_SSH_KEY is empty and the ssh agent has no key: nobody could log in`,
  )
}

/**
 * Pins a host's key in a known_hosts file: what was there for the host goes, other hosts stay.
 * @param key type and base64
 * @returns whether another key was pinned before
 */
export function pinHostKey(envFile: string, file: string, host: string, port: string, key: string): boolean {
  const path = pathIn(envFile, file)
  const name = port === '22' ? host : `[${host}]:${port}`
  const old = existsSync(path) ? readFileSync(path, 'utf8').split('\n') : []
  const mine = (line: string) => (line.split(' ')[0] ?? '').split(',').includes(name)
  const line = `${name} ${key.split(' ').slice(0, 2).join(' ')}`
  if (old.filter(mine).join('\n') === line) return false
  mkdirSync(dirname(path), { recursive: true })
  const kept = old.filter((one) => one !== '' && !mine(one))
  writeFileSync(`${path}.part`, `${[...kept, line].join('\n')}\n`, { mode: 0o644 })
  renameSync(`${path}.part`, path)
  return old.some(mine)
}
