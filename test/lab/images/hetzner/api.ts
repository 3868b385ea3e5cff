import { createServer } from 'node:https'
import type { RecordSet, Value, Zone } from './zone.ts'

type Body = { name?: string; type?: string; ttl?: number; records?: Value[] }
type Answer = { status: number; body: unknown }
type Action = {
  id: number
  command: string
  status: string
  progress: number
  started: string
  finished: string
}

const ZONE_ID = 42

/** The part of https://api.hetzner.cloud/v1 that DNS-01 needs: zones, rrsets, their actions. */
export function serveApi(zone: Zone, token: () => string, cert: Buffer, key: Buffer): void {
  const actions: Action[] = []
  const server = createServer({ cert, key }, (request, response) => {
    let text = ''
    request.on('data', (part) => {
      text += part
    })
    request.on('end', () => {
      const url = new URL(request.url ?? '/', 'https://api.hetzner.cloud')
      const known = request.headers.authorization === `Bearer ${token()}`
      const { status, body } = known
        ? route(zone, actions, request.method ?? 'GET', url, text)
        : failure(401, 'unauthorized', 'unable to authenticate')
      console.log(`${new Date().toISOString()} ${request.method} ${url.pathname} ${status}`)
      response.writeHead(status, { 'content-type': 'application/json', 'ratelimit-remaining': '3599' })
      response.end(JSON.stringify(body))
    })
  })
  server.listen(443)
}

function route(zone: Zone, actions: Action[], method: string, url: URL, text: string): Answer {
  let body: Body
  try {
    body = text === '' ? {} : JSON.parse(text)
  } catch {
    return failure(400, 'json_error', 'the request body is no JSON')
  }
  const [, version, ...path] = url.pathname.split('/').map(decodeURIComponent)
  if (version !== 'v1') return notFound('route')
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
    return { status: 201, body: { rrset, action: done('create_rrset') } }
  }
  const current = zone.get(name, type)
  if (command === 'add_records') {
    const problem = refusal(type, body, current)
    if (problem) return invalid(problem)
    const records = [...(current?.records ?? []), ...(body.records ?? [])]
    zone.put({ name, type, ttl: current?.ttl ?? body.ttl ?? null, records })
    return { status: 201, body: { action: done('add_rrset_records') } }
  }
  if (!current) return notFound('rrset')
  if (command === 'remove_records') {
    const gone = new Set(body.records?.map((record) => record.value))
    current.records = current.records.filter((record) => !gone.has(record.value))
    if (current.records.length === 0) zone.delete(name, type)
    return { status: 201, body: { action: done('remove_rrset_records') } }
  }
  if (command === 'set_records') {
    current.records = body.records ?? []
    return { status: 201, body: { action: done('set_rrset_records') } }
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
const page = (total_entries: number) => ({
  meta: {
    pagination: { page: 1, per_page: 50, previous_page: null, next_page: null, last_page: 1, total_entries },
  },
})
const ok = (body: unknown): Answer => ({ status: 200, body })
const failure = (status: number, code: string, message: string): Answer => ({
  status,
  body: { error: { code, message, details: null } },
})
const notFound = (what: string): Answer => failure(404, 'not_found', `${what} not found`)
const invalid = (message: string): Answer => failure(422, 'invalid_input', message)
