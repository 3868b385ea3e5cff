import { existsSync } from 'node:fs'
import { $ } from 'zx'
import type { Custodian } from './custodian.ts'
import { type Picked, pathIn } from './env.ts'

/**
 * Which private key of this machine is a custodian's: the file beside the public one, else the public one itself when the ssh
 * agent holds the other half. Undefined: the key is with its owner, and only there.
 */
export async function keyOf(
  envFile: string,
  env: Picked<'CUSTODIANS'>,
  { name, key }: Custodian,
): Promise<string | undefined> {
  const paths = (env.CUSTODIANS ?? '').split(',').map((path) => pathIn(envFile, path.trim()))
  const file = paths.find((path) => path.replace(/\.pub$/, '').endsWith(`/${name}`))
  if (!file) return undefined
  const beside = file.replace(/\.pub$/, '')
  if (beside !== file && existsSync(beside)) return beside
  const agent = await $({ nothrow: true })`ssh-add -L`
  return agent.stdout.split('\n').some((line) => line.startsWith(key)) ? file : undefined
}
