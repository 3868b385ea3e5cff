import { askSecret } from './asking.ts'
import { type Custodian, checkPassphrase } from './custodian.ts'
import { entriesOf } from './custodian-list.ts'
import { changing, costOf, type Encrypted } from './custody-change.ts'
import { Fail } from './fail.ts'
import { type Header, readHeader } from './header.ts'
import { headerBackups, headerBox, headerManifest } from './header-manifest.ts'
import { keysAtPrompt, letIn } from './prompt-keys.ts'
import { addSlot, dropToken, killSlot, slotOpenedBy } from './slots.ts'

/**
 * Adds a custodian: a key slot that is proved to open, then their key at the prompt, then a new header backup. Cut short, the
 * same call goes on where it stopped. Asks for the passphrase of somebody who opens the disk now, then for the new one.
 * @throws Fail `refused` when the name or the key is somebody's already
 */
export async function addCustodian(disk: Encrypted, custodian: Custodian): Promise<void> {
  const { host, session, device } = disk
  const { name, fingerprint } = custodian
  await changing(disk, `custodians add ${name}`, async () => {
    const header = await readHeader(host, device)
    const same = header.tokens.find((one) => one.fingerprint === fingerprint || one.custodian === name)
    if (same && (same.custodian !== name || same.fingerprint !== fingerprint))
      throw new Fail(
        'refused',
        `${same.custodian} is a custodian with ${same.fingerprint === fingerprint ? 'this' : 'another'} key: revoke ${same.custodian} first, or take another name and key`,
      )
    if (header.slots.some((one) => one.custodian === name)) session.say(`  ${name} has a key slot already`)
    else await giveSlot(disk, header, custodian)
    const keys = (await keysAtPrompt(host)).filter((one) => one.name !== name)
    await session.step(`let the key of ${name} in at the prompt`, () =>
      letIn(host, session, [...keys, { name, key: custodian.key }]),
    )
  })
}

async function giveSlot(disk: Encrypted, header: Header, custodian: Custodian): Promise<void> {
  const { host, session, device, env } = disk
  const opener = await askSecret(session, 'passphrase of a custodian who opens the disk now')
  const passphrase = await askSecret(session, `new passphrase of ${custodian.name}`, { twice: true })
  checkPassphrase(custodian.name, passphrase)
  const taken = header.slots.map((one) => one.slot)
  // A slot that was made and not named before the connection was lost.
  const nameless = header.slots.filter((one) => one.custodian === undefined).map((one) => one.slot)
  const own = session.dryRun ? undefined : await slotOpenedBy(host, session, device, nameless, passphrase)
  const slot = own ?? [...Array(32).keys()].find((one) => !taken.includes(one))
  if (slot === undefined) throw new Fail('refused', 'all 32 key slots are taken: revoke somebody first')
  const added = { slot, custodian, passphrase, cost: costOf(env) }
  await session.step(`add key slot ${slot}, prove that it opens`, () =>
    addSlot(host, session, device, own === undefined ? { ...added, opener } : added),
  )
}

/**
 * Takes the disk from a custodian: their key slot, then their key at the prompt, then a new header backup. Cut short, the same
 * call goes on where it stopped. Asks for the passphrase of another custodian, and proves that it opens the disk first.
 * @param name of a custodian, or `slot:N` for a slot that is nobody's
 * @throws Fail `usage` for a name that nobody has; `refused` when fewer than two custodians would be left
 */
export async function revokeCustodian(disk: Encrypted, name: string): Promise<void> {
  const { host, session, device } = disk
  await changing(disk, `custodians revoke ${name}`, async () => {
    const [header, keys] = [await readHeader(host, device), await keysAtPrompt(host)]
    const entries = entriesOf(header, keys)
    const going = entries.find((one) => one.name === name)
    if (!going && (await inNewestBackup(disk, name))) {
      session.say(`  ${name} is gone already, but not from the newest header backup`)
      return
    }
    if (!going)
      throw new Fail('usage', `there is no custodian ${name}: ${entries.map((one) => one.name).join(', ')}`)
    const staying = header.slots.filter((one) => one.custodian !== undefined && one.custodian !== name)
    // Who has no key at the prompt could only unlock at the console.
    const left = new Set(
      staying.map((one) => one.custodian).filter((one) => keys.some((key) => key.name === one)),
    )
    if (left.size < 2)
      throw new Fail(
        'refused',
        `without ${name} only ${[...left].join() || 'nobody'} could unlock the disk at the prompt, and it takes two custodians: add another one first`,
      )
    const tokens = header.tokens.filter((one) => one.custodian === name)
    if (going.slots.length > 0) {
      const opener = await askSecret(
        session,
        `passphrase of a custodian who stays (${[...left].join(' or ')})`,
      )
      const open = staying.map((one) => one.slot)
      const keep = await slotOpenedBy(host, session, device, open, opener)
      if (keep === undefined)
        throw new Fail('refused', 'this is the passphrase of nobody who stays. Nothing was changed')
      for (const slot of going.slots) {
        const token = tokens.find((one) => one.slots.join() === String(slot))?.token
        await session.step(`remove key slot ${slot}; slot ${keep} opens`, () =>
          killSlot(host, session, device, { slot, token, keep, opener }),
        )
      }
    }
    const empty = (await readHeader(host, device)).tokens.filter((one) => one.custodian === name)
    for (const { token, slots } of empty)
      if (slots.length === 0) await dropToken(host, session, device, token)
    const others = keys.filter((one) => one.name !== name)
    await session.step(`shut the key of ${name} out of the prompt`, () => letIn(host, session, others))
  })
}

/** Whether the newest header backup still has somebody: a revocation was cut short before its own. */
async function inNewestBackup({ here, session, envFile, env }: Encrypted, name: string): Promise<boolean> {
  const box = headerBox(envFile, env)
  const newest = (await headerBackups(here, session, box)).at(-1)
  if (!newest) return false
  const { slots } = await headerManifest(here, session, box, newest)
  return slots.some((one) => one.custodian === name)
}

/**
 * Proves that a custodian could unlock the disk: their passphrase opens their own slot, and the prompt lets their key in.
 * Changes nothing.
 * @throws Fail `unverified` saying what does not
 */
export async function verifyCustodian(disk: Encrypted, name: string): Promise<void> {
  const { host, session, device } = disk
  const entries = entriesOf(await readHeader(host, device), await keysAtPrompt(host))
  const one = entries.find((entry) => entry.name === name)
  if (!one)
    throw new Fail('usage', `there is no custodian ${name}: ${entries.map((entry) => entry.name).join(', ')}`)
  if (one.slots.length === 0) throw new Fail('unverified', `${name} has no key slot: add ${name} again`)
  const passphrase = await askSecret(session, `passphrase of ${name}`)
  const slot = await session.step(`try the passphrase of ${name}`, () =>
    slotOpenedBy(host, session, device, one.slots, passphrase),
  )
  if (slot === undefined)
    throw new Fail('unverified', `this passphrase does not open the key slot of ${name}`)
  if (!one.prompt)
    throw new Fail('unverified', `the prompt does not let the key of ${name} in: add ${name} again`)
  session.result(`${name} opens slot ${slot}, and the prompt lets their key in`)
}
