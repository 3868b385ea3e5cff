import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { $ } from 'zx'
import { fileIn } from './env.ts'
import { privateDir } from './private-dir.ts'
import type { Session } from './session.ts'

/** The key of EVIDENCE_KEY, where this machine has it. */
export interface Signing {
  envFile: string
  key: string | undefined
}

/**
 * Signs a text with OpenSSH; the key stays on this machine. To verify: ssh-keygen -Y verify -n everyskill-evidence.
 * @returns the armored signature; undefined without a key
 * @throws Fail `usage` when the key's file is not there
 */
export async function sign(
  session: Session,
  text: string,
  { envFile, key }: Signing,
): Promise<string | undefined> {
  if (!key) return undefined
  const file = join(privateDir(session), 'record')
  writeFileSync(file, text)
  const path = fileIn(envFile, 'EVIDENCE_KEY', key)
  await session.command(() => $`ssh-keygen -Y sign -q -f ${path} -n everyskill-evidence ${file}`)
  return readFileSync(`${file}.sig`, 'utf8')
}
