import * as v from 'valibot'
import { attempt, codes } from './exclusive.ts'
import { Fail } from './fail.ts'
import type { Host } from './host.ts'
import type { Session } from './session.ts'
import { type Script, sh } from './sh.ts'

/** The type of the tokens in the header that say whose a key slot is. */
export const tokenType = 'everyskill-custodian'
/** The name of the mapped root, `/dev/mapper/cryptroot`. */
export const mapped = 'cryptroot'

export interface Slot {
  slot: number
  kdf: string
  /** KiB; 0 for pbkdf2. */
  memory: number
  iterations: number
  /** Threads; 0 for pbkdf2. */
  parallel: number
  /** Whose it is, as the header's token says; undefined: nobody's. */
  custodian: string | undefined
  /** The fingerprint of the custodian's ssh key. */
  fingerprint: string | undefined
}

/** What a LUKS2 header says of itself. */
export interface Header {
  uuid: string
  label: string
  /** As cryptsetup writes it: aes-xts-plain64. */
  cipher: string
  keyBits: number
  slots: Slot[]
  /** Every custodian's token with the slots it names; none when their slot is gone. */
  tokens: { token: number; custodian: string; fingerprint: string; slots: number[] }[]
}

const integer = v.pipe(v.string(), v.regex(/^\d+$/), v.transform(Number))
const argon = v.object({ type: v.string(), time: v.number(), memory: v.number(), cpus: v.number() })
const pbkdf2 = v.object({ type: v.literal('pbkdf2'), iterations: v.number() })
/** The parts of the metadata that are read here (LUKS2 On-Disk Format, section 3). */
const metadata = v.object({
  keyslots: v.record(v.string(), v.object({ key_size: v.number(), kdf: v.union([pbkdf2, argon]) })),
  tokens: v.record(v.string(), v.looseObject({ type: v.string(), keyslots: v.array(integer) })),
  segments: v.record(v.string(), v.looseObject({ type: v.string(), encryption: v.optional(v.string()) })),
})
const ours = v.object({
  type: v.literal(tokenType),
  keyslots: v.array(integer),
  name: v.string(),
  key: v.string(),
})

/** Prints what `headerIn` reads of a device, or of the file of a header backup. */
export function dumpHeader(device: Script): Script {
  return sh`cryptsetup isLuks --type luks2 ${device} || { echo "no LUKS2 header on it" >&2; exit ${codes.unverified}; }
cryptsetup luksUUID ${device}
cryptsetup luksDump ${device} | sed -n 's/^Label:[[:space:]]*//p'
cryptsetup luksDump --dump-json-metadata ${device}`
}

/**
 * Reads the header of a device.
 * @throws Fail `unverified` when there is no LUKS2 header, or one that cannot be understood
 */
export async function readHeader(host: Host, device: string): Promise<Header> {
  const answer = await host.probe(dumpHeader(sh`${device}`))
  if (answer.code === 0) return headerIn(answer.stdout)
  const why = answer.stderr.trim() || `cryptsetup ended with ${answer.code}`
  const outcome = answer.code === codes.unverified ? 'unverified' : 'failed'
  throw new Fail(outcome, `${host.name}: ${device}: ${why}. Restore the header: runbooks/custodians.md`)
}

/** The header in what `dumpHeader` printed. @throws Fail `unverified` when it is not one */
export function headerIn(text: string): Header {
  const [uuid = '', label = '', ...json] = text.split('\n')
  const read = v.safeParse(metadata, parsed(json.join('\n')))
  if (!read.success || !/^[0-9a-f-]{36}$/.test(uuid))
    throw new Fail('unverified', 'the LUKS2 header cannot be understood: is cryptsetup 2.4 or newer there?')
  const { keyslots, tokens, segments } = read.output
  const known = Object.entries(tokens).flatMap(([token, content]) => {
    const own = v.safeParse(ours, { ...content, keyslots: content.keyslots.map(String) })
    if (!own.success) return []
    const { name, key, keyslots: slots } = own.output
    return [{ token: Number(token), custodian: name, fingerprint: key, slots }]
  })
  const slots = Object.entries(keyslots).map(([key, { kdf }]) => {
    const slot = Number(key)
    const owner = known.find((one) => one.slots.includes(slot))
    const cost =
      kdf.type === 'pbkdf2' && 'iterations' in kdf
        ? { memory: 0, iterations: kdf.iterations, parallel: 0 }
        : 'time' in kdf
          ? { memory: kdf.memory, iterations: kdf.time, parallel: kdf.cpus }
          : { memory: 0, iterations: 0, parallel: 0 }
    return { slot, kdf: kdf.type, ...cost, custodian: owner?.custodian, fingerprint: owner?.fingerprint }
  })
  return {
    uuid,
    label: label === '(no label)' ? '' : label,
    cipher: Object.values(segments).find((one) => one.encryption)?.encryption ?? '',
    keyBits: Math.max(0, ...Object.values(keyslots).map((one) => one.key_size * 8)),
    slots: slots.sort((a, b) => a.slot - b.slot),
    tokens: known,
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The device under the mapped root of a running system. @throws Fail `refused` when its root is not one of ours */
export function encryptedDevice(host: Host, session: Session): Promise<string> {
  const script = sh`device=$(cryptsetup status ${mapped} | sed -n 's/^ *device: *//p')
[ -b "$device" ] || { echo "there is no encrypted disk called cryptroot here: was it made by ops/provision-luks.ts, and is it unlocked?" >&2; exit ${codes.refused}; }
echo "$device"`
  return attempt(host, session, script, { changes: false })
}
