import type { Custodian } from './custodian.ts'
import { attempt, codes, exclusive } from './exclusive.ts'
import { Fail } from './fail.ts'
import { type Header, mapped, readHeader } from './header.ts'
import type { Host } from './host.ts'
import { luksLabel } from './layout.ts'
import type { Session } from './session.ts'
import { type Script, sh } from './sh.ts'
import { addSlot, type Cost, costFlags, slotOpenedBy } from './slots.ts'

const timeout = 600

/** Everything about the volume but its key slots' cost. */
const shape = ['--type', 'luks2', '--cipher', 'aes-xts-plain64', '--key-size', '512', '--label', luksLabel]

/** Makes the header with the first custodian's passphrase in slot 0; it comes on stdin without a newline. */
export function formatScript(device: string, cost: Cost): Script {
  return sh`cryptsetup luksFormat --batch-mode ${shape} --sector-size 4096 ${costFlags(cost)} --key-slot 0 --key-file=- ${device}
udevadm settle
sync ${device}`
}

export async function format(
  host: Host,
  session: Session,
  device: string,
  passphrase: string,
  cost: Cost,
): Promise<void> {
  const script = exclusive(formatScript(device, cost), 'provision')
  await attempt(host, session, script, { input: passphrase, timeout })
}

/**
 * Gives every custodian the slot of their place in the list, and their name in the header. What an earlier call did is
 * proved, not done again.
 * @throws Fail `unverified` when a passphrase does not open the slot that is its custodian's; `refused` when somebody else has it
 */
export async function giveSlots(
  host: Host,
  session: Session,
  device: string,
  custodians: readonly Custodian[],
  passphrases: readonly string[],
  cost: Cost,
): Promise<void> {
  const [first = ''] = passphrases
  const { slots } = session.dryRun ? { slots: [] } : await readHeader(host, device)
  for (const [slot, custodian] of custodians.entries()) {
    const passphrase = passphrases[slot] ?? ''
    const there = slots.find((one) => one.slot === slot)
    const mine = { slot, custodian, passphrase, cost }
    if (there?.custodian && there.fingerprint !== custodian.fingerprint)
      throw new Fail(
        'refused',
        `slot ${slot} of ${device} is ${there.custodian}'s, not ${custodian.name}'s: set CUSTODIANS as it was, or --start-over`,
      )
    if (!there && slot > 0) await addSlot(host, session, device, { ...mine, opener: first })
    else if (!there?.custodian) await addSlot(host, session, device, mine)
    else if ((await slotOpenedBy(host, session, device, [slot], passphrase)) === undefined)
      throw new Fail(
        'unverified',
        `the passphrase of ${custodian.name} does not open their slot on ${device}: give the one of the earlier call, or --start-over`,
      )
  }
}

/** After cryptsetup failed: ends the script, with the mend where the passphrase was wrong (cryptsetup's 2). */
export const notOpened = sh`{ code=$?; [ "$code" -ne 2 ] || { echo "the first custodian's passphrase does not open it: give the one of the earlier call, or --start-over" >&2; exit ${codes.refused}; }; exit 1; }`

/** Maps the volume as cryptroot; what is mapped already must be this one. The passphrase comes on stdin without a newline. */
export function openScript(device: string): Script {
  return sh`device=${device}
if [ ! -e /dev/mapper/${mapped} ]; then
  cryptsetup open --allow-discards --key-file=- "$device" ${mapped} || ${notOpened}
fi
held=$(cryptsetup status ${mapped} | sed -n 's/^ *device: *//p')
[ "$held" = "$device" ] || { echo "cryptroot is mapped on $held: cryptsetup close cryptroot" >&2; exit ${codes.refused}; }`
}

/**
 * Compares a header with what was asked for.
 * @throws Fail `unverified` naming every difference
 */
export function checkHeader(header: Header, custodians: readonly Custodian[], cost: Cost): void {
  const problems: string[] = []
  const expect = (what: string, is: unknown, wanted: unknown) => {
    if (String(is) !== String(wanted)) problems.push(`${what} is ${is}, not ${wanted}`)
  }
  expect('the label', header.label, luksLabel)
  expect('the cipher', header.cipher, 'aes-xts-plain64')
  expect('the key', `${header.keyBits} bit`, '512 bit')
  const who = header.slots.map(({ slot, custodian, fingerprint }) => `${slot} ${custodian} ${fingerprint}`)
  const wanted = custodians.map(({ name, fingerprint }, slot) => `${slot} ${name} ${fingerprint}`)
  expect('the list of key slots', who.join(', '), wanted.join(', '))
  for (const { slot, kdf, memory, iterations, parallel } of header.slots)
    expect(
      `the cost of slot ${slot}`,
      `${kdf} ${memory} KiB, ${iterations} times, ${parallel} threads`,
      `argon2id ${cost.memory} KiB, ${cost.iterations} times, ${cost.parallel} threads`,
    )
  if (problems.length > 0)
    throw new Fail(
      'unverified',
      `the LUKS header is not as asked for: ${problems.join('; ')}. --start-over makes it anew`,
    )
}
