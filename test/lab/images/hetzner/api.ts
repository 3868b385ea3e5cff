import { createServer, type Server } from 'node:https'
import { type Answer, created, failure, invalid, notFound, ok, page } from './answers.ts'
import type { Servers } from './servers.ts'
import type { StorageBox } from './storagebox.ts'
import type { RecordSet, Value, Zone } from './zone.ts'

type Body = { name?: string; type?: string; ttl?: number; records?: Value[] }
type Action = {
  id: number
  command: string
  status: string
  progress: number
  started: string
  finished: string
}

const ZONE_ID = 42

export type Project = {
  zone: Zone
  box: StorageBox
  servers: Servers
  /** What opens the zone, and what opens the box and the server: tokens of two projects. */
  tokens: { dns: () => string; hcloud: () => string }
  cert: Buffer
  key: Buffer
}

/**
 * The part of https://api.hetzner.cloud/v1 that DNS-01 needs (zones, rrsets, their actions) and that is about the server, and
 * that of https://api.hetzner.com/v1 which is about the Storage Box.
 */
export function serveApi({ zone, box, servers, tokens, cert, key }: Project, port: number): Server {
  const actions: Action[] = []
  const server = createServer({ cert, key }, (request, response) => {
    let text = ''
    request.on('data', (part) => {
      text += part
    })
    request.on('end', () => {
      const url = new URL(request.url ?? '/', 'https://api.hetzner.cloud')
      const method = request.method ?? 'GET'
      const [, version, ...path] = url.pathname.split('/').map(decodeURIComponent)
      const aboutBox = path[0] === 'storage_boxes'
      const aboutServer = path[0] === 'servers' || path[0] === 'ssh_keys'
      const token = aboutBox || aboutServer ? tokens.hcloud() : tokens.dns()
      const respond = (): Answer => {
        if (request.headers.authorization !== `Bearer ${token}`)
          return failure(401, 'unauthorized', 'unable to authenticate')
        const body = parse(text)
        if (!body) return failure(400, 'json_error', 'the request body is no JSON')
        if (version !== 'v1') return notFound('route')
        if (aboutBox) return box.answer(method, path.slice(1), url.searchParams.get('name'), body)
        if (aboutServer) return servers.answer(method, path, url.searchParams, body)
        return route(zone, actions, method, path, url, body)
      }
      const { status, body } = respond()
      console.log(`${new Date().toISOString()} ${method} ${url.pathname} ${status}`)
      response.writeHead(status, { 'content-type': 'application/json', 'ratelimit-remaining': '3599' })
      response.end(JSON.stringify(body))
    })
  })
  return server.listen(port)
}

function parse(text: string): object | undefined {
  try {
    return text === '' ? {} : JSON.parse(text)
  } catch {
    return undefined
  }
}

function route(zone: Zone, actions: Action[], method: string, path: string[], url: URL, body: Body): Answer {
  if (path[0] === 'actions') return listActions(actions, path[1], url)
  if (path[0] !== 'zones') return notFound('route')
  if (path.length === 1) return listZones(zone, url.searchParams.get('name'))
  if (path[1] !== zone.name && path[1] !== String(ZONE_ID)) return notFound('zone')
  if (path.length === 2) return ok({ zone: zoneView(zone) })
  if (path[2] === 'rrsets') return recordSets(zone, actions, method, path.slice(3), body)
  return notFound('route')
}

function recordSets(zone: Zone, actions: Action[], method: string, path: string[], body: Body): Answer {
  const [name, type, , command] = path
  const done = (what: string): Action => act(actions, what)
  if (name === undefined || type === undefined) {
    if (method === 'GET') return ok({ rrsets: zone.all().map(view), ...page(zone.all().length) })
    if (body.name === undefined || body.type === undefined) return invalid('name and type are required')
    if (zone.get(body.name, body.type)) return failure(409, 'uniqueness_error', 'the rrset exists')
    const { name, type, ttl = null, records = [] } = body
    const rrset = view(zone.put({ name, type, ttl, records }))
    return created({ rrset, action: done('create_rrset') })
  }
  const current = zone.get(name, type)
  if (command === 'add_records') {
    const problem = refusal(type, body, current)
    if (problem) return invalid(problem)
    const records = [...(current?.records ?? []), ...(body.records ?? [])]
    zone.put({ name, type, ttl: current?.ttl ?? body.ttl ?? null, records })
    return created({ action: done('add_rrset_records') })
  }
  if (!current) return notFound('rrset')
  if (command === 'remove_records') {
    const gone = new Set(body.records?.map((record) => record.value))
    current.records = current.records.filter((record) => !gone.has(record.value))
    if (current.records.length === 0) zone.delete(name, type)
    return created({ action: done('remove_rrset_records') })
  }
  if (command === 'set_records') {
    current.records = body.records ?? []
    return created({ action: done('set_rrset_records') })
  }
  if (method === 'DELETE') {
    zone.delete(name, type)
    return ok({ action: done('delete_rrset') })
  }
  return ok({ rrset: view(current) })
}

/** Why the real API would refuse these records; undefined if it would not. */
function refusal(type: string, body: Body, current: RecordSet | undefined): string | undefined {
  const unquoted = body.records?.some((record) => !/^".*"$/.test(record.value))
  if (type === 'TXT' && unquoted) return 'TXT values must be quoted'
  if (body.ttl !== undefined && body.ttl < 60) return 'ttl is below 60'
  if (current && body.ttl !== undefined && current.ttl !== body.ttl)
    return 'ttl differs from that of the rrset'
  return undefined
}

function listZones(zone: Zone, name: string | null): Answer {
  const zones = name === null || name === zone.name ? [zoneView(zone)] : []
  return ok({ zones, ...page(zones.length) })
}

function listActions(actions: Action[], id: string | undefined, url: URL): Answer {
  if (id !== undefined) {
    const action = actions.find((candidate) => String(candidate.id) === id)
    return action ? ok({ action: { ...action, error: null, resources: [] } }) : notFound('action')
  }
  const wanted = url.searchParams.getAll('id')
  const found = actions.filter((action) => wanted.length === 0 || wanted.includes(String(action.id)))
  return ok({ actions: found, ...page(found.length) })
}

function act(actions: Action[], command: string): Action {
  const now = new Date().toISOString()
  const id = 1001 + actions.length
  const action = { id, command, status: 'success', progress: 100, started: now, finished: now }
  actions.push(action)
  return action
}

const view = (set: RecordSet) => ({ ...set, id: `${set.name}/${set.type}`, labels: {}, zone: ZONE_ID })
const zoneView = (zone: Zone) => ({
  id: ZONE_ID,
  name: zone.name,
  ttl: 3600,
  mode: 'primary',
  status: 'ok',
  record_count: zone.all().length,
  created: '2026-01-01T00:00:00Z',
  labels: {},
  protection: { delete: false },
  primary_nameservers: [],
  registrar: 'hetzner',
})
