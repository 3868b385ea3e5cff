import type { Custodian } from './custodian.ts'
import { attempt, codes } from './exclusive.ts'
import { tokenType } from './header.ts'
import type { Host } from './host.ts'
import type { Session } from './session.ts'
import { lines, type Script, sh } from './sh.ts'

/** What a guess costs: argon2id with stated figures. A benchmark on a slow machine would choose weak ones. */
export interface Cost {
  /** KiB */
  memory: number
  iterations: number
  /** Threads */
  parallel: number
}

export interface NewSlot {
  slot: number
  custodian: Custodian
  /** A passphrase that opens another slot; without one the slot is there already and only gets its name. */
  opener?: string
  passphrase: string
  cost: Cost
}

/** Seconds for scripts that try passphrases: each try takes seconds, on purpose. */
const timeout = 600

/** cryptsetup's flags for a cost; also for luksFormat. */
export function costFlags({ memory, iterations, parallel }: Cost): string[] {
  const cost = { memory, parallel, 'force-iterations': iterations }
  const flags = Object.entries(cost).flatMap(([name, number]) => [`--pbkdf-${name}`, String(number)])
  return ['--pbkdf', 'argon2id', ...flags]
}

/**
 * Defines `opens SLOT PASSPHRASE` and `opens any PASSPHRASE`. A passphrase passes in a pipe from the shell itself: it is in
 * no file, no argv and no environment. Anything but yes or no (cryptsetup's 2) ends the script.
 */
function opens(device: string): Script {
  return sh`opens() {
  local one=() code=0 said
  [ "$1" = any ] || one=(--key-slot "$1")
  said=$(printf %s "$2" | cryptsetup open --test-passphrase --batch-mode "\${one[@]}" --key-file=- ${device} 2>&1) || code=$?
  case $code in
    0) return 0 ;;
    2) return 1 ;;
    *) echo "$said" >&2; exit 1 ;;
  esac
}`
}

function stop(code: number, why: string): Script {
  return sh`{ echo ${why} >&2; exit ${code}; }`
}

/**
 * Gives a custodian a key slot, proves that the passphrase opens that very slot, and writes into the header whose it is.
 * @throws Fail `refused` when the opener opens nothing, or the passphrase is somebody's already; `unverified` when the new
 *   one does not open. The new slot is gone again then.
 */
export async function addSlot(
  host: Host,
  session: Session,
  device: string,
  { slot, custodian, opener, passphrase, cost }: NewSlot,
): Promise<void> {
  const { name, fingerprint } = custodian
  const token = { type: tokenType, keyslots: [String(slot)], name, key: fingerprint }
  const taken = `the passphrase of ${name} opens this disk already: each custodian needs one of their own`
  const closed = 'the passphrase that should let a new custodian in opens no key slot. Nothing was changed'
  const add = sh`IFS= read -r opener
if opens any "$fresh"; then ${stop(codes.refused, taken)}; fi
opens any "$opener" || ${stop(codes.refused, closed)}
undo() { printf %s "$opener" | cryptsetup luksKillSlot --batch-mode --key-file=- ${device} ${slot} || true; }
trap undo EXIT
cryptsetup luksAddKey --batch-mode --key-slot ${slot} ${costFlags(cost)} --key-file <(printf %s "$opener") ${device} <(printf %s "$fresh")`
  const name_ = sh`opens ${slot} "$fresh" || ${stop(codes.unverified, `the passphrase of ${name} does not open slot ${slot}`)}
printf %s ${JSON.stringify(token)} | cryptsetup token import --json-file - ${device}
trap - EXIT`
  const script = lines(opens(device), sh`IFS= read -r fresh`, opener === undefined ? undefined : add, name_)
  const input = opener === undefined ? `${passphrase}\n` : `${passphrase}\n${opener}\n`
  await attempt(host, session, script, { input, timeout })
}

/**
 * Removes a key slot and the token that named it. cryptsetup would remove the last slot without a question, and the volume
 * would be lost: so it is proved first, and again afterwards, that the opener opens another one.
 * @param keep the slot that the opener opens
 * @throws Fail `refused` when it does not; nothing was changed then
 */
export async function killSlot(
  host: Host,
  session: Session,
  device: string,
  { slot, token, keep, opener }: { slot: number; token: number | undefined; keep: number; opener: string },
): Promise<void> {
  const closed = stop(codes.refused, `the passphrase given does not open slot ${keep}. Nothing was changed`)
  const script = lines(
    opens(device),
    sh`IFS= read -r opener
[ ${slot} -ne ${keep} ] || ${stop(codes.refused, 'a slot cannot let itself be removed')}
opens ${keep} "$opener" || ${closed}
printf %s "$opener" | cryptsetup luksKillSlot --batch-mode --key-file=- ${device} ${slot}`,
    token === undefined ? undefined : sh`cryptsetup token remove --token-id ${token} ${device}`,
    sh`opens ${keep} "$opener" || ${stop(codes.unverified, `slot ${keep} no longer opens. Do not reboot: runbooks/custodians.md, the header`)}`,
  )
  await attempt(host, session, script, { input: `${opener}\n`, timeout })
}

/** Which of some slots a passphrase opens; undefined: none. A dry run takes the first. */
export async function slotOpenedBy(
  host: Host,
  session: Session,
  device: string,
  slots: readonly number[],
  passphrase: string,
): Promise<number | undefined> {
  if (session.dryRun || slots.length === 0) return slots[0]
  const script = sh`IFS= read -r passphrase
for slot in ${slots}; do
  if opens "$slot" "$passphrase"; then echo "$slot"; exit 0; fi
done`
  const input = `${passphrase}\n`
  const answer = await attempt(host, session, lines(opens(device), script), {
    input,
    timeout,
    changes: false,
  })
  return answer === '' ? undefined : Number(answer)
}

/** Removes a token that names no slot any more. */
export async function dropToken(host: Host, session: Session, device: string, token: number): Promise<void> {
  await attempt(host, session, sh`cryptsetup token remove --token-id ${token} ${device}`)
}
