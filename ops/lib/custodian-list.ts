import { type Header, readHeader } from './header.ts'
import type { Host } from './host.ts'
import { columns } from './manifest.ts'
import { keysAtPrompt, type PromptKey } from './prompt-keys.ts'

/** What is known of a custodian, or of a key slot that is nobody's. */
export interface Entry {
  name: string
  slots: number[]
  fingerprint: string | undefined
  /** What a guess costs, in words. */
  cost: string
  /** Whether the unlock prompt lets their key in. */
  prompt: boolean
}

/** Who can unlock the disk, by the header and by the prompt's keys. Nothing is asked for. */
export async function listCustodians(host: Host, device: string): Promise<Entry[]> {
  return entriesOf(await readHeader(host, device), await keysAtPrompt(host))
}

/** One entry for everybody who has a slot, a token or a key, and for every slot that is nobody's. */
export function entriesOf({ slots, tokens }: Header, keys: readonly PromptKey[]): Entry[] {
  const nameOf = (one: Header['slots'][number]) => one.custodian ?? `slot:${one.slot}`
  const known = [...slots.map(nameOf), ...tokens.map((one) => one.custodian), ...keys.map((one) => one.name)]
  return [...new Set(known)].map((name) => {
    const own = slots.filter((one) => nameOf(one) === name)
    const costs = own.map(
      (one) => `${one.kdf} ${one.memory} KiB, ${one.iterations} times, ${one.parallel} threads`,
    )
    return {
      name,
      slots: own.map((one) => one.slot),
      fingerprint: tokens.find((one) => one.custodian === name)?.fingerprint,
      cost: [...new Set(costs)].join('; '),
      prompt: keys.some((one) => one.name === name),
    }
  })
}

/** The custodians for a person. */
export function custodiansText(entries: readonly Entry[]): string {
  const rows = entries.map(({ name, slots, fingerprint, cost, prompt }) => [
    ...[name, slots.join(', ') || '-', prompt ? 'yes' : 'NO', cost || '-', fingerprint ?? '-'],
  ])
  return columns([['NAME', 'SLOT', 'PROMPT', 'A GUESS COSTS', 'KEY'], ...rows])
}
