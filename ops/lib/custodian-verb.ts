import { custodianIn } from './custodian.ts'
import { custodiansText, listCustodians } from './custodian-list.ts'
import { addCustodian, revokeCustodian, verifyCustodian } from './custodians.ts'
import { custodyNames } from './custody-change.ts'
import { readEnv } from './env.ts'
import { Fail } from './fail.ts'
import { encryptedDevice } from './header.ts'
import { Host, hostNames, serverOf } from './host.ts'
import type { Session } from './session.ts'

/** How many words follow each verb. */
const counts = { list: 0, add: 2, revoke: 1, verify: 1 }

/**
 * Who can unlock the disk: asks the running system, or changes it.
 * @param verb list, add NAME KEYFILE, revoke NAME or verify NAME; what follows it are the words
 * @throws Fail `usage` for another verb, or too few or many words
 */
export async function custodianVerb(
  session: Session,
  envFile: string,
  verb: string,
  words: readonly string[],
  json: boolean,
): Promise<void> {
  const [name = '', keyFile = ''] = words
  if (!Object.hasOwn(counts, verb) || counts[verb as keyof typeof counts] !== words.length)
    throw new Fail('usage', '--custodians takes list, add NAME KEYFILE, revoke NAME or verify NAME')
  const env = readEnv(envFile, [...hostNames, ...custodyNames])
  const newcomer = verb === 'add' ? custodianIn(envFile, keyFile, name) : undefined
  const host = serverOf(envFile, env, session)
  const device = await encryptedDevice(host, session)
  const disk = { host, here: new Host('operator', [], session), session, envFile, env, device }
  if (newcomer) return addCustodian(disk, newcomer)
  if (verb === 'revoke') return revokeCustodian(disk, name)
  if (verb === 'verify') return verifyCustodian(disk, name)
  const entries = await listCustodians(host, device)
  session.result(json ? JSON.stringify(entries) : custodiansText(entries))
}
