import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Answer, created, failure, invalid, notFound, ok, page } from './answers.ts'

type Body = { name?: string; public_key?: string; type?: string; ssh_keys?: number[] }
type Key = { id: number; name: string; public_key: string }
type Action = {
  id: number
  command: string
  status: 'running' | 'success' | 'error'
  progress: number
  started: string
  finished: string | null
  resources: { id: number; type: string }[]
  error: { code: string; message: string }
}

export type Options = {
  /** The server's name and address. */
  name: string
  address: string
  /** The folder that the machine obeys: see test/lab/images/luks/machine. */
  power: string
  /** An action runs at least until this has come. */
  pause: () => Promise<unknown>
}

const SERVER_ID = 4242

/**
 * The part of https://api.hetzner.cloud/v1 that rescue mode and the power switch need, for one server: /servers and
 * /ssh_keys. A file `fail` in the folder makes the next action end with `unknown_error`, as the real one does at times: a
 * reset then leaves the server off. As in the real one's own examples every action has an `error`: its status alone tells.
 */
export class Servers {
  readonly #options: Options
  readonly #keys: Key[] = []
  readonly #actions: Action[] = []

  constructor(options: Options) {
    this.#options = options
  }

  /** @param path what follows /v1 */
  answer(method: string, path: string[], query: URLSearchParams, body: Body): Answer {
    const [what, id, part, command] = path
    if (what === 'ssh_keys') return this.#sshKeys(method, query, body)
    if (id === undefined) return this.#list(query.get('name'))
    if (id === 'actions') return this.#action(part)
    if (id !== String(SERVER_ID)) return notFound('server')
    if (part === undefined) return ok({ server: this.#view() })
    if (method !== 'POST' || part !== 'actions') return notFound('route')
    if (this.#actions.at(-1)?.status === 'running') return failure(423, 'locked', 'server is locked')
    return this.#act(command ?? '', body)
  }

  #sshKeys(method: string, query: URLSearchParams, { name, public_key }: Body): Answer {
    if (method === 'GET') {
      const [number, size] = [Number(query.get('page') ?? 1), Number(query.get('per_page') ?? 25)]
      const ssh_keys = this.#keys.slice((number - 1) * size, number * size)
      return ok({ ssh_keys, ...page(this.#keys.length, number, size) })
    }
    if (!name || !public_key) return invalid('name and public_key are required')
    if (this.#keys.some((one) => one.public_key === public_key))
      return failure(409, 'uniqueness_error', 'SSH key not unique')
    const key = { id: 501 + this.#keys.length, name, public_key }
    this.#keys.push(key)
    return created({ ssh_key: key })
  }

  #list(name: string | null): Answer {
    const servers = name === null || name === this.#options.name ? [this.#view()] : []
    return ok({ servers, ...page(servers.length) })
  }

  #action(id: string | undefined): Answer {
    const action = this.#actions.find((candidate) => String(candidate.id) === id)
    return action ? ok({ action }) : notFound('action')
  }

  #act(command: string, { type, ssh_keys = [] }: Body): Answer {
    const flag = (name: string, content = '') => writeFileSync(this.#path(name), content)
    const drop = (name: string) => rmSync(this.#path(name), { force: true })
    if (command === 'enable_rescue') {
      if (type !== 'linux64') return invalid('type must be linux64')
      const keys = ssh_keys.map((id) => this.#keys.find((one) => one.id === id))
      if (keys.some((key) => key === undefined)) return notFound('ssh key')
      return this.#start(command, { root_password: 'never-to-be-used' }, () => {
        flag('keys', keys.map((key) => `${key?.public_key}\n`).join(''))
        flag('rescue')
      })
    }
    const work: Record<string, () => void> = {
      disable_rescue: () => drop('rescue'),
      reset: () => flag('reset'),
      poweron: () => flag('on'),
      poweroff: () => drop('on'),
    }
    const names: Record<string, string> = {
      ...{ reset: 'reset_server', poweron: 'start_server', poweroff: 'stop_server' },
    }
    const found = Object.hasOwn(work, command) ? work[command] : undefined
    return found ? this.#start(names[command] ?? command, {}, found) : notFound('route')
  }

  #start(command: string, more: object, work: () => void): Answer {
    const action: Action = {
      ...{ id: 7001 + this.#actions.length, command, status: 'running', progress: 0 },
      ...{
        started: new Date().toISOString(),
        finished: null,
        resources: [{ id: SERVER_ID, type: 'server' }],
      },
      error: { code: 'action_failed', message: 'Action failed' },
    }
    this.#actions.push(action)
    const answer = created({ ...more, action: { ...action } })
    void this.#options.pause().then(() => {
      const off = !existsSync(this.#path('on'))
      const fails = existsSync(this.#path('fail'))
      Object.assign(action, { progress: 100, finished: new Date().toISOString() })
      if (fails || (command === 'reset_server' && off)) {
        rmSync(this.#path('fail'), { force: true })
        if (command === 'reset_server') rmSync(this.#path('on'), { force: true })
        Object.assign(action, { status: 'error', error: { code: 'unknown_error', message: 'Unknown error' } })
        return
      }
      work()
      action.status = 'success'
    })
    return answer
  }

  #path(name: string): string {
    return join(this.#options.power, name)
  }

  #view() {
    const { name, address } = this.#options
    const there = (flag: string) => existsSync(this.#path(flag))
    return {
      id: SERVER_ID,
      name,
      status: there('running') ? 'running' : there('on') ? 'starting' : 'off',
      rescue_enabled: there('rescue'),
      locked: false,
      public_net: { ipv4: { ip: address }, ipv6: null, firewalls: [] },
      protection: { delete: false, rebuild: false },
      labels: {},
      created: '2026-01-01T00:00:00Z',
    }
  }
}
