import * as v from 'valibot'
import type { Picked } from './env.ts'
import { Fail } from './fail.ts'
import { act } from './hetzner-action.ts'
import { ask } from './hetzner-api.ts'
import type { Session } from './session.ts'
import { type apiNames, type BoxApi, boxApi, findBox } from './storagebox-api.ts'

export interface Snapshot {
  id: number
  name: string
  created: Date
  /** Taken by the plan. */
  automatic: boolean
}

const date = v.pipe(
  v.string(),
  v.transform((text) => new Date(text)),
  v.date(),
)
const shelf = v.object({
  snapshots: v.array(
    v.object({ id: v.number(), name: v.string(), created: date, is_automatic: v.boolean() }),
  ),
})

/** The snapshots of the box, newest first. @throws Fail as `findBox` does */
export async function boxSnapshots(api: BoxApi): Promise<Snapshot[]> {
  return snapshotsOf(api, (await findBox(api)).id)
}

async function snapshotsOf(api: BoxApi, id: number): Promise<Snapshot[]> {
  const answer = await ask(api, 'GET', `/storage_boxes/${id}/snapshots`, shelf)
  return answer.snapshots
    .map(({ is_automatic: automatic, ...rest }) => ({ ...rest, automatic }))
    .sort((a, b) => b.created.getTime() - a.created.getTime() || b.id - a.id)
}

/**
 * Puts the whole box back to a snapshot: every account's files. Hetzner then deletes what was written since, and every newer
 * snapshot, for good: ask the operator first. A dry run prints the call.
 * @param name as `boxSnapshots` has it
 * @throws Fail `refused` when there is no such snapshot, with the names that there are; else as `findBox` and `act` do
 */
export async function rollBack(api: BoxApi, name: string): Promise<void> {
  const { id } = await findBox(api)
  const names = (await snapshotsOf(api, id)).map((one) => one.name)
  if (!names.includes(name)) {
    const there = names.length > 0 ? `it has ${names.join(', ')}` : 'it has none'
    throw new Fail('refused', `the Storage Box ${api.account} has no snapshot ${name}; ${there}`)
  }
  await act(api, `/storage_boxes/${id}/actions/rollback_snapshot`, { snapshot: name })
}

/**
 * Puts the whole box back to a snapshot, once the operator has typed its name.
 * @param typed the value of `--confirm`
 * @throws Fail `usage` without a token; else as `rollBack` does
 */
export async function rollBackNamed(
  envFile: string,
  env: Picked<(typeof apiNames)[number]>,
  session: Session,
  name: string,
  typed: string | undefined,
): Promise<void> {
  const api = boxApi(envFile, env, session)
  if (!api) {
    const why = "is needed for --snapshot; or roll back in Hetzner's console, and leave --snapshot out"
    throw new Fail('usage', `${envFile}:\n  HCLOUD_TOKEN ${why}`)
  }
  const what = `The whole Storage Box goes back to the snapshot ${name}; what was written since, and newer snapshots, are lost.`
  await session.confirm(name, what, typed)
  await session.step(`put the Storage Box back to ${name}`, () => rollBack(api, name))
}
