import { setTimeout as sleep } from 'node:timers/promises'
import * as v from 'valibot'
import { Fail, outcomeOf } from './fail.ts'
import { type Api, ask } from './hetzner-api.ts'

/** How often an action is looked at: at the usual pace for ten minutes. */
const most = 1200
/** How many of those looks may find no connection. */
const spare = 5

const error = v.nullish(v.object({ code: v.string(), message: v.string() }))
const answered = v.object({ action: v.object({ id: v.number(), status: v.string(), error }) })

/**
 * Starts an action and waits for its end; a dry run prints it instead. Its `status` alone tells how it ended: an answer of
 * 201 is no success yet. A connection that is lost meanwhile does not stop the action, so it is looked at again.
 * @param path such as /storage_boxes/42/actions/rollback_snapshot; polled at /storage_boxes/actions/ID
 * @throws Fail as `ask` does; `failed` when the action ends with an error, `timedOut` after ten minutes
 */
export async function act(api: Api, path: string, body: unknown): Promise<void> {
  const { host } = new URL(api.url)
  if (api.session.dryRun) return api.session.wouldRun(host, `POST ${path} ${JSON.stringify(body)}`)
  let { action } = await ask(api, 'POST', path, answered, body)
  const look = `/${path.split('/')[1]}/actions/${action.id}`
  for (let looks = 0, lost = 0; action.status === 'running'; looks++) {
    if (looks === most)
      throw new Fail(
        'timedOut',
        `POST ${path}: action ${action.id} still runs; Hetzner's console shows its end`,
      )
    await sleep(api.pace)
    const seen = await ask(api, 'GET', look, answered).catch((error: unknown) => {
      if (outcomeOf(error) !== 'noConnection' || ++lost > spare) throw error
    })
    action = seen?.action ?? action
  }
  if (action.status === 'success') return
  const { code, message } = action.error ?? { code: action.status, message: 'without a reason' }
  const mend = `Try again; if it fails again, Hetzner's console and support know more`
  throw new Fail('failed', `POST ${path}: the action ended with ${code}: ${message}. ${mend}`)
}
