import { execFile } from 'node:child_process'
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Answer, created, failure, invalid, notFound, ok, page } from './answers.ts'

type Plan = Record<'max_snapshots' | 'minute' | 'hour', number> &
  Record<'day_of_week' | 'day_of_month', number | null>
type Snapshot = { id: number; name: string; description: string; is_automatic: boolean; created: string }
type State = { plan: Plan | null; protected: boolean; taken: number; snapshots: Snapshot[] }
type Body = Partial<Plan> & { delete?: unknown; snapshot?: unknown; description?: string; labels?: object }
type Action = { id: number; command: string; status: 'running' | 'success' | 'error'; error: unknown }

export type Options = {
  /** The main account. */
  account: string
  /** The content of the box. */
  content: string
  /** Where its snapshots lie, and what is set; nobody else may see it. */
  snapshots: string
  /** An action runs at least until this has come. */
  pause: () => Promise<unknown>
}

const BOX_ID = 4711
/** `automatic_snapshot_limit` of the smallest type. */
const MOST_SNAPSHOTS = 10
const run = promisify(execFile)

/**
 * The part of https://api.hetzner.com/v1/storage_boxes that the scripts call, for one box. A snapshot is a copy of the content,
 * a rollback puts it back; neither is atomic as the real one is, so nothing should write meanwhile.
 */
export class StorageBox {
  readonly #options: Options
  readonly #state: State
  readonly #actions: Action[] = []

  constructor(options: Options) {
    this.#options = options
    const file = join(options.snapshots, 'state.json')
    this.#state = existsSync(file)
      ? JSON.parse(readFileSync(file, 'utf8'))
      : { plan: null, protected: false, taken: 0, snapshots: [] }
  }

  /** @param path what follows /v1/storage_boxes */
  answer(method: string, path: string[], name: string | null, body: Body): Answer {
    const [id, part, command] = path
    if (id === undefined) return this.#list(name)
    if (id === 'actions') return this.#action(part)
    if (id !== String(BOX_ID)) return notFound('storage box')
    if (part === undefined) return ok({ storage_box: this.#view() })
    if (method === 'GET' && part === 'snapshots') return ok({ snapshots: this.#state.snapshots.map(view) })
    if (method !== 'POST') return notFound('route')
    if (this.#actions.at(-1)?.status === 'running') return failure(423, 'locked', 'another action is running')
    if (part === 'snapshots') return this.#take(body)
    return part === 'actions' ? this.#act(command ?? '', body) : notFound('route')
  }

  #list(name: string | null): Answer {
    const boxes = name === null || name === this.#view().name ? [this.#view()] : []
    return ok({ storage_boxes: boxes, ...page(boxes.length) })
  }

  #action(id: string | undefined): Answer {
    const action = this.#actions.find((candidate) => String(candidate.id) === id)
    return action ? ok({ action }) : notFound('action')
  }

  #act(command: string, body: Body): Answer {
    const state = this.#state
    if (command === 'enable_snapshot_plan') {
      const { max_snapshots = 0, minute = -1, hour = -1, day_of_week = null, day_of_month = null } = body
      if (!(max_snapshots >= 1 && max_snapshots <= MOST_SNAPSHOTS))
        return invalid('max_snapshots is out of range')
      if (!(minute >= 0 && minute <= 59 && hour >= 0 && hour <= 23))
        return invalid('hour or minute is out of range')
      return this.#start(command, async () => {
        state.plan = { max_snapshots, minute, hour, day_of_week, day_of_month }
      })
    }
    if (command === 'disable_snapshot_plan') {
      return this.#start(command, async () => {
        state.plan = null
      })
    }
    if (command === 'change_protection') {
      const wanted = body.delete
      if (typeof wanted !== 'boolean') return invalid('delete must be true or false')
      return this.#start(command, async () => {
        state.protected = wanted
      })
    }
    if (command !== 'rollback_snapshot') return notFound('route')
    const found = state.snapshots.find(({ id, name }) => [name, String(id)].includes(String(body.snapshot)))
    return found ? this.#start(command, () => this.#rollBack(found)) : notFound('snapshot')
  }

  /** The plan has no clock here: a label asks for its snapshot. */
  #take({ description = '', labels = {} }: Body): Answer {
    const state = this.#state
    const is_automatic = 'everyskill-lab-plan' in labels
    // A name holds its second, so that two in one second take the next one.
    const last = Date.parse(state.snapshots.at(-1)?.created ?? '') || 0
    const at = new Date(Math.max(Date.now(), last + 1000)).toISOString()
    const name = `${is_automatic ? 'snapshot-daily--' : ''}${at.slice(0, 19).replaceAll(':', '-')}`
    const snapshot = { id: ++state.taken, name, description, is_automatic, created: at }
    const { body } = this.#start('create_snapshot', async () => {
      const to = this.#copyOf(snapshot)
      mkdirSync(to, { recursive: true })
      await run('cp', ['-a', `${this.#options.content}/.`, to])
      state.snapshots.push(snapshot)
    })
    return created({ snapshot: { id: snapshot.id, storage_box: BOX_ID }, ...(body as object) })
  }

  /** A directory that is in both stays the same one: the box's accounts have theirs mounted. */
  async #rollBack(to: Snapshot): Promise<void> {
    const from = this.#copyOf(to)
    if (!isDirectory(from)) throw new Error(`${from} is not there`)
    empty(this.#options.content, from)
    await run('cp', ['-a', `${from}/.`, this.#options.content])
    for (const newer of this.#state.snapshots.filter(({ id }) => id > to.id))
      rmSync(this.#copyOf(newer), { recursive: true, force: true })
    this.#state.snapshots = this.#state.snapshots.filter(({ id }) => id <= to.id)
  }

  #start(command: string, work: () => Promise<void>): Answer {
    const action: Action = { id: 9001 + this.#actions.length, command, status: 'running', error: null }
    this.#actions.push(action)
    const answer = created({ action: { ...action } })
    const end = async () => {
      try {
        await Promise.all([work(), this.#options.pause()])
        writeFileSync(join(this.#options.snapshots, 'state.json'), JSON.stringify(this.#state))
        action.status = 'success'
      } catch (error) {
        console.error(error)
        Object.assign(action, { status: 'error', error: { code: 'action_failed', message: 'Action failed' } })
      }
    }
    void end()
    return answer
  }

  #copyOf(snapshot: Snapshot): string {
    return join(this.#options.snapshots, String(snapshot.id))
  }

  #view() {
    const { account } = this.#options
    return {
      id: BOX_ID,
      username: account,
      status: 'active',
      name: 'everyskill-backups',
      server: `${account}.your-storagebox.de`,
      protection: { delete: this.#state.protected },
      snapshot_plan: this.#state.plan,
      labels: {},
      created: '2026-01-01T00:00:00Z',
    }
  }
}

const view = (snapshot: Snapshot) => ({ ...snapshot, labels: {}, storage_box: BOX_ID })

/** Removes what a copy of the other directory would not put right: all but the directories that both have. */
function empty(directory: string, like: string): void {
  for (const name of readdirSync(directory)) {
    const [mine, other] = [join(directory, name), join(like, name)]
    if (isDirectory(mine) && isDirectory(other)) empty(mine, other)
    else rmSync(mine, { recursive: true, force: true })
  }
}

const isDirectory = (path: string) => lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
