import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import * as v from 'valibot'
import { Fail } from './fail.ts'
import { findServer, type ServerApi } from './hcloud-server.ts'
import { act } from './hetzner-action.ts'
import { ask } from './hetzner-api.ts'

const key = v.object({ id: v.number(), public_key: v.string() })
const page = v.object({ pagination: v.object({ next_page: v.nullish(v.number()) }) })
const keys = v.object({ ssh_keys: v.array(key), meta: page })

/** How often an action is begun again that ended with an error: Hetzner's are known to fail at times and to work the next time. */
const tries = 3

/**
 * Switches rescue mode on and starts the server into it. The root password that the API answers with is read by nobody.
 * @param operatorKeys public keys that the rescue system is to let in
 */
export async function intoRescue(api: ServerApi, operatorKeys: readonly string[]): Promise<void> {
  const { id, rescue_enabled } = await findServer(api)
  const ids: number[] = []
  for (const one of operatorKeys) ids.push(await projectKey(api, one))
  // It was switched on with keys that we do not know.
  if (rescue_enabled) await again(api, () => act(api, `/servers/${id}/actions/disable_rescue`, {}))
  await again(api, () => act(api, `/servers/${id}/actions/enable_rescue`, { type: 'linux64', ssh_keys: ids }))
  await resetServer(api)
}

/** Power off and on again, without asking the system that runs. A server that is off after that is switched on. */
export async function resetServer(api: ServerApi): Promise<void> {
  // A reset that ends with an error is known to leave the server off.
  await again(api, async () => {
    const { id, status } = await findServer(api)
    await act(api, `/servers/${id}/actions/${status === 'off' ? 'poweron' : 'reset'}`, {})
  })
  if (api.session.dryRun) return
  const { id, status } = await findServer(api)
  if (status === 'off') await again(api, () => act(api, `/servers/${id}/actions/poweron`, {}))
}

/** Switches rescue mode off if it is still on for the next start, and starts the server from its disk. */
export async function bootFromDisk(api: ServerApi): Promise<void> {
  const { id, rescue_enabled } = await findServer(api)
  if (rescue_enabled) await again(api, () => act(api, `/servers/${id}/actions/disable_rescue`, {}))
  await resetServer(api)
}

/** The id of a public key in the project; it is put there when it is not. */
async function projectKey(api: ServerApi, publicKey: string): Promise<number> {
  const words = (text: string) => text.split(' ').slice(0, 2).join(' ')
  for (let next: number | null | undefined = 1; next; ) {
    const found: v.InferOutput<typeof keys> = await ask(
      api,
      'GET',
      `/ssh_keys?page=${next}&per_page=50`,
      keys,
    )
    const known = found.ssh_keys.find((one) => words(one.public_key) === words(publicKey))
    if (known) return known.id
    next = found.meta.pagination.next_page
  }
  const name = `everyskill-operator-${createHash('sha256').update(words(publicKey)).digest('hex').slice(0, 8)}`
  if (api.session.dryRun) {
    api.session.wouldRun(new URL(api.url).host, `POST /ssh_keys {"name":"${name}"}`)
    return 0
  }
  const made = await ask(api, 'POST', '/ssh_keys', v.object({ ssh_key: key }), {
    name,
    public_key: publicKey,
  })
  return made.ssh_key.id
}

async function again(api: ServerApi, work: () => Promise<void>): Promise<void> {
  for (let left = tries; ; left--) {
    try {
      return await work()
    } catch (error) {
      const passing = error instanceof Fail && /ended with (unknown_error|action_failed)/.test(error.message)
      if (!passing || left === 1) throw error
      api.session.say(`  ${error.message.split('.')[0]}; trying again`)
      await sleep(api.pace * 10)
    }
  }
}
