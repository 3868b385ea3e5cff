import { resolve } from 'node:path'
import { keyNames } from './ciphertext.ts'
import { custodianIn } from './custodian.ts'
import { custodiansText, listCustodians } from './custodian-list.ts'
import { addCustodian, revokeCustodian, verifyCustodian } from './custodians.ts'
import { custodyNames } from './custody-change.ts'
import { readEnv } from './env.ts'
import { Fail } from './fail.ts'
import { encryptedDevice } from './header.ts'
import { headerBackupNames } from './header-manifest.ts'
import { restoreHeader } from './header-restore.ts'
import { Host, hostNames, serverOf } from './host.ts'
import { rescueHost } from './rescue-host.ts'
import type { Session } from './session.ts'

/** How many words follow each verb. */
const counts: Record<string, readonly number[]> = {
  list: [0],
  add: [2],
  revoke: [1],
  verify: [1],
  'restore-header': [1, 2],
}

/**
 * Who can unlock the disk: asks the running system, or changes it.
 * `restore-header` is the one that works on the rescue system.
 * @param verb list, add NAME KEYFILE, revoke NAME, verify NAME or restore-header DEVICE [LABEL]; what follows it are the words
 * @param typed the value of `--confirm`
 * @throws Fail `usage` for another verb, or too few or many words
 */
export async function custodianVerb(
  session: Session,
  envFile: string,
  verb: string,
  words: readonly string[],
  json: boolean,
  typed: string | undefined,
): Promise<void> {
  const [name = '', keyFile = ''] = words
  if (!Object.hasOwn(counts, verb) || !counts[verb]?.includes(words.length))
    throw new Fail(
      'usage',
      '--custodians takes list, add NAME KEYFILE, revoke NAME, verify NAME or restore-header DEVICE [LABEL]',
    )
  if (verb === 'restore-header') return headerBack(session, envFile, words, typed)
  const env = readEnv(envFile, [...hostNames, ...custodyNames])
  const newcomer = verb === 'add' ? custodianIn(envFile, resolve(keyFile), name) : undefined
  const host = serverOf(envFile, env, session)
  const device = await encryptedDevice(host, session)
  const disk = { host, here: new Host('operator', [], session), session, envFile, env, device }
  if (newcomer) return addCustodian(disk, newcomer)
  if (verb === 'revoke') return revokeCustodian(disk, name)
  if (verb === 'verify') return verifyCustodian(disk, name)
  const entries = await listCustodians(host, device)
  session.result(json ? JSON.stringify(entries) : custodiansText(entries))
}

async function headerBack(
  session: Session,
  envFile: string,
  [device = '', label]: readonly string[],
  typed: string | undefined,
): Promise<void> {
  const env = readEnv(envFile, [...hostNames, ...headerBackupNames, ...keyNames])
  const here = new Host('operator', [], session)
  const host = await session.step('wait for the rescue system', () => rescueHost(envFile, env, session, 300))
  const wish = { ...(label && { label }), ...(typed && { typed }) }
  const back = await session.step('put the header back', () =>
    restoreHeader(host, here, session, envFile, env, device, wish),
  )
  const names = back.slots.map(({ custodian }) => custodian ?? 'nobody').join(', ')
  session.result(`${device} has the header of ${back.label} again; it opens for ${names}`)
}
