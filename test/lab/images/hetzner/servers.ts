import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Answer, created, failure, invalid, notFound, ok, page } from './answers.ts'

type Body = { name?: string; public_key?: string; type?: string; ssh_keys?: number[] }
type Key = { id: number; name: string; public_key: string }
type Action = { id: number; command: string; status: 'running' | 'success' | 'error'; error: unknown }

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
 * /ssh_keys. A file `fail` in the folder makes the next action end with `unknown_error`, as the real one does at times.
 */
export class Servers {
  readonly #options: Options
  readonly #keys: Key[] = []
  readonly #actions: Action[] = []

  constructor(options: Options) {
    this.#options = options
  }

  /** @param path what follows /v1 */
  answer(method: string, path: string[], name: string | null, body: Body): Answer {
    const [what, id, part, command] = path
    if (what === 'ssh_keys') return this.#sshKeys(method, body)
    if (id === undefined) return this.#list(name)
    if (id === 'actions') return this.#action(part)
    if (id !== String(SERVER_ID)) return notFound('server')
    if (part === undefined) return ok({ server: this.#view() })
    if (method !== 'POST' || part !== 'actions') return notFound('route')
    if (this.#actions.at(-1)?.status === 'running') return failure(423, 'locked', 'server is locked')
    return this.#act(command ?? '', body)
  }

  #sshKeys(method: string, { name, public_key }: Body): Answer {
    if (method === 'GET') return ok({ ssh_keys: this.#keys, ...page(this.#keys.length) })
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
      // A server that is off stays off.
      reset: () => existsSync(this.#path('on')) && flag('reset'),
      poweron: () => flag('on'),
      poweroff: () => drop('on'),
    }
    const found = Object.hasOwn(work, command) ? work[command] : undefined
    return found ? this.#start(command, {}, found) : notFound('route')
  }

  #start(command: string, more: object, work: () => void): Answer {
    const action: Action = { id: 7001 + this.#actions.length, command, status: 'running', error: null }
    this.#actions.push(action)
    const answer = created({ ...more, action: { ...action } })
    void this.#options.pause().then(() => {
      if (existsSync(this.#path('fail'))) {
        rmSync(this.#path('fail'))
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
    return {
      id: SERVER_ID,
      name,
      status: existsSync(this.#path('running')) ? 'running' : 'off',
      rescue_enabled: existsSync(this.#path('rescue')),
      locked: false,
      public_net: { ipv4: { ip: address }, ipv6: null, firewalls: [] },
      protection: { delete: false, rebuild: false },
      labels: {},
      created: '2026-01-01T00:00:00Z',
    }
  }
}
