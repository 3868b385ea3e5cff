import { readEnv } from '../../ops/lib/env.ts'
import { act } from '../../ops/lib/hetzner-action.ts'
import { Session } from '../../ops/lib/session.ts'
import { boxSnapshots } from '../../ops/lib/snapshots.ts'
import { apiNames, type BoxApi, boxApi, findBox } from '../../ops/lib/storagebox-api.ts'
import { lab } from './world.ts'

/** The operator's way to the lab's Storage Box past its accounts. */
export function labBoxApi(): BoxApi {
  const { env } = lab()
  const api = boxApi(env, readEnv(env, apiNames), new Session({ dryRun: false, quiet: true }))
  if (!api) throw new Error('the lab has no HCLOUD_TOKEN')
  return api
}

/** Takes a snapshot of the Storage Box as its plan would take it. Nothing may write there meanwhile. @returns its name */
export async function takeSnapshot(api = labBoxApi()): Promise<string> {
  const { id } = await findBox(api)
  await act(api, `/storage_boxes/${id}/snapshots`, { labels: { 'everyskill-lab-plan': '' } })
  const [newest] = await boxSnapshots(api)
  if (!newest) throw new Error('the snapshot that was taken is not there')
  return newest.name
}
