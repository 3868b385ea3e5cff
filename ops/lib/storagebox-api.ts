import * as v from 'valibot'
import { type Picked, textIn } from './env.ts'
import { Fail } from './fail.ts'
import { act } from './hetzner-action.ts'
import { type Api, ask } from './hetzner-api.ts'
import type { Session } from './session.ts'

export const apiNames = [
  'HCLOUD_TOKEN',
  'HETZNER_API',
  'TRUSTED_ROOT',
  'STORAGEBOX_USER',
  'STORAGEBOX_ADMIN_USER',
] as const

/** A way to one Storage Box past its accounts, which can neither see nor delete its snapshots. */
export interface BoxApi extends Api {
  /** The main account, by which the API's boxes are told apart. */
  account: string
}

/** When the box takes a snapshot of itself every day, UTC, and how many it keeps. */
export interface Plan {
  hour: number
  minute: number
  maxSnapshots: number
}

export interface ApiBox {
  id: number
  /** Undefined when there is none. Not daily: Hetzner's console can bind a plan to a day of the week or the month. */
  plan: (Plan & { daily: boolean }) | undefined
  /** Whether the box itself cannot be deleted, with all its snapshots. */
  deleteProtected: boolean
}

const planShape = v.object({
  max_snapshots: v.number(),
  hour: v.nullish(v.number(), 0),
  minute: v.nullish(v.number(), 0),
  day_of_week: v.nullish(v.number()),
  day_of_month: v.nullish(v.number()),
})
const boxShape = v.object({
  id: v.number(),
  name: v.string(),
  username: v.nullish(v.string()),
  protection: v.object({ delete: v.boolean() }),
  snapshot_plan: v.nullish(planShape),
})
const pageShape = v.object({
  storage_boxes: v.array(boxShape),
  meta: v.object({ pagination: v.object({ next_page: v.nullish(v.number()) }) }),
})

/**
 * The API of a `.env`; undefined without HCLOUD_TOKEN, which only the operator's machine has.
 * @throws Fail `usage` when the PEM that it names cannot be read
 */
export function boxApi(
  envFile: string,
  env: Picked<(typeof apiNames)[number]>,
  session: Session,
): BoxApi | undefined {
  const { HCLOUD_TOKEN: token, HETZNER_API, TRUSTED_ROOT } = env
  if (!token) return undefined
  const ca = TRUSTED_ROOT && textIn(envFile, 'TRUSTED_ROOT', TRUSTED_ROOT)
  const account = env.STORAGEBOX_ADMIN_USER ?? env.STORAGEBOX_USER.replace(/-sub\d+$/, '')
  const where = { name: 'HETZNER_API' as const, url: HETZNER_API.replace(/\/+$/, ''), token, ca }
  return { ...where, session, account, pace: 500, limit: 30_000 }
}

/**
 * The box of the main account, as it stands.
 * @see https://docs.hetzner.cloud/reference/hetzner#storage-boxes
 * @throws Fail `refused` when the token's project does not hold it, with the accounts that it does hold; else as `ask`
 */
export async function findBox(api: BoxApi): Promise<ApiBox> {
  const boxes = await allBoxes(api)
  const found = boxes.find(({ username }) => username === api.account)
  if (!found) {
    const seen = boxes.map(({ username, name }) => `${username ?? 'one without an account yet'} (${name})`)
    const mend =
      'Check STORAGEBOX_ADMIN_USER, or make HCLOUD_TOKEN in the project that holds this Storage Box'
    const words = `HCLOUD_TOKEN: its project does not hold the Storage Box ${api.account}; it holds`
    throw new Fail('refused', `${words} ${seen.join(', ') || 'none'}. ${mend}`)
  }
  const { id, protection, snapshot_plan: set } = found
  const daily = set?.day_of_week == null && set?.day_of_month == null
  const plan = set
    ? { hour: set.hour, minute: set.minute, maxSnapshots: set.max_snapshots, daily }
    : undefined
  return { id, plan, deleteProtected: protection.delete }
}

async function allBoxes(api: BoxApi): Promise<v.InferOutput<typeof boxShape>[]> {
  const boxes: v.InferOutput<typeof boxShape>[] = []
  for (let page = 1; ; ) {
    const answer = await ask(api, 'GET', `/storage_boxes?page=${page}&per_page=50`, pageShape)
    boxes.push(...answer.storage_boxes)
    const next = answer.meta.pagination.next_page ?? 0
    if (next <= page) return boxes
    page = next
  }
}

/**
 * Gives the box a daily snapshot plan and protects it from being deleted. What is so already is left alone; another plan is
 * replaced, and its snapshots stay. A dry run prints the calls.
 * @param plan hour 0 to 23 and minute 0 to 59, UTC; maxSnapshots from 1 to what the box's type allows
 * @returns what it changed, in words; nothing when all was so
 * @throws Fail as `findBox` and `act` do
 */
export async function protectBox(api: BoxApi, plan: Plan): Promise<string[]> {
  const { id, plan: old, deleteProtected } = await findBox(api)
  const { hour, minute, maxSnapshots } = plan
  const changed: string[] = []
  const same = old?.daily && old.hour === hour && old.minute === minute && old.maxSnapshots === maxSnapshots
  if (!same) {
    const body = { max_snapshots: maxSnapshots, minute, hour, day_of_week: null, day_of_month: null }
    await act(api, `/storage_boxes/${id}/actions/enable_snapshot_plan`, body)
    changed.push('snapshot plan')
  }
  if (!deleteProtected) {
    await act(api, `/storage_boxes/${id}/actions/change_protection`, { delete: true })
    changed.push('delete protection')
  }
  return changed
}

/** What the box lacks that outlives a thief of the server, in words; empty: nothing. @throws Fail as `findBox` does */
export async function unprotected(api: BoxApi): Promise<string[]> {
  const { plan, deleteProtected } = await findBox(api)
  return [
    ...(plan?.daily ? [] : ['the Storage Box takes no daily snapshots: tsx ops/backup.ts init']),
    ...(deleteProtected ? [] : ['the Storage Box can be deleted with a click: tsx ops/backup.ts init']),
  ]
}
