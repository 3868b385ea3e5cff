import { createSocket, type Socket } from 'node:dgram'
import { getServers } from 'node:dns'
import { createServer } from 'node:net'
import type { Zone } from './zone.ts'

const A = 1
const NS = 2
const SOA = 6
const TXT = 16
const ANY = 255
const TTL = 5
const UPSTREAM_PATIENCE = 5000

type Question = { name: string; type: number; bytes: Buffer }

/**
 * The name server: authoritative for the zone (every name has the wildcard's address) and for a few names beside it;
 * all other questions go to the resolver of the machine that runs the lab.
 */
export function serveDns(zone: Zone, wildcard: string, names: Map<string, string>): void {
  const udp = createSocket('udp4')
  const respond = async (message: Buffer): Promise<Buffer | undefined> => {
    const question = parse(message)
    if (!question) return undefined
    const own = answer(zone, wildcard, names, question)
    return own ? encode(message, question, own) : await askUpstream(message)
  }
  udp.on('message', async (message, peer) => {
    const reply = await respond(message)
    if (reply) udp.send(reply, peer.port, peer.address)
  })
  udp.bind(53)
  createServer((connection) => {
    let pending = Buffer.alloc(0)
    connection.on('error', () => {})
    connection.on('data', async (data) => {
      pending = Buffer.concat([pending, data])
      while (pending.length > 2 && pending.length >= 2 + pending.readUInt16BE(0)) {
        const message = pending.subarray(2, 2 + pending.readUInt16BE(0))
        pending = pending.subarray(2 + message.length)
        const reply = await respond(message)
        if (reply) connection.write(Buffer.concat([short(reply.length), reply]))
      }
    })
  }).listen(53)
}

type Own = { answers: Buffer[]; authority: Buffer[] }

/** Undefined for a name that is not ours. */
function answer(
  zone: Zone,
  wildcard: string,
  names: Map<string, string>,
  question: Question,
): Own | undefined {
  const { name, type } = question
  const wants = (kind: number) => type === kind || type === ANY
  const relative = zone.relative(name)
  const address = relative === undefined ? names.get(name) : wildcard
  if (address === undefined) return undefined
  const answers: Buffer[] = []
  if (wants(A)) answers.push(record(name, A, Buffer.from(address.split('.').map(Number))))
  if (relative === undefined) return { answers, authority: [] }
  if (relative === '@' && wants(SOA)) answers.push(soa(zone))
  if (relative === '@' && wants(NS)) answers.push(record(name, NS, domain(`ns.${zone.name}`)))
  if (wants(TXT)) {
    for (const { value } of zone.get(relative, 'TXT')?.records ?? []) {
      const content = Buffer.from(value.replace(/^"|"$/g, ''))
      answers.push(record(name, TXT, Buffer.concat([Buffer.from([content.length]), content])))
    }
  }
  return { answers, authority: answers.length === 0 ? [soa(zone)] : [] }
}

function parse(message: Buffer): Question | undefined {
  if (message.length < 17) return undefined
  const labels: string[] = []
  let at = 12
  for (let length = message[at] ?? 0; length > 0; length = message[at] ?? 0) {
    if (at + 1 + length + 4 > message.length) return undefined
    labels.push(message.toString('latin1', at + 1, at + 1 + length))
    at += length + 1
  }
  if (at + 5 > message.length) return undefined
  const bytes = message.subarray(12, at + 5)
  return { name: labels.join('.').toLowerCase(), type: message.readUInt16BE(at + 1), bytes }
}

function encode(message: Buffer, question: Question, own: Own): Buffer {
  const header = Buffer.alloc(12)
  message.copy(header, 0, 0, 2)
  header.writeUInt16BE(0x8580, 2) // response, authoritative, recursion desired and available
  header.writeUInt16BE(1, 4)
  header.writeUInt16BE(own.answers.length, 6)
  header.writeUInt16BE(own.authority.length, 8)
  return Buffer.concat([header, question.bytes, ...own.answers, ...own.authority])
}

/** Relays a question as it came; undefined if nothing answers, so that the asker times out as it would anyway. */
function askUpstream(message: Buffer): Promise<Buffer | undefined> {
  const server = getServers().find((address) => /^[\d.]+$/.test(address))
  if (!server) return Promise.resolve(undefined)
  return new Promise((resolve) => {
    const socket: Socket = createSocket('udp4')
    const finish = (reply?: Buffer) => {
      clearTimeout(timer)
      socket.removeAllListeners()
      socket.close()
      resolve(reply)
    }
    const timer = setTimeout(finish, UPSTREAM_PATIENCE)
    socket.once('message', (reply) => finish(reply))
    socket.once('error', () => finish())
    socket.send(message, 53, server)
  })
}

const short = (value: number): Buffer => Buffer.from([value >> 8, value & 255])

function domain(name: string): Buffer {
  const labels = name
    .split('.')
    .map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]))
  return Buffer.concat([...labels, Buffer.from([0])])
}

function record(name: string, type: number, data: Buffer): Buffer {
  const ttl = Buffer.alloc(4)
  ttl.writeUInt32BE(TTL)
  return Buffer.concat([domain(name), short(type), short(1), ttl, short(data.length), data])
}

function soa(zone: Zone): Buffer {
  const numbers = Buffer.alloc(20)
  for (const [i, value] of [1, 3600, 600, 86400, TTL].entries()) numbers.writeUInt32BE(value, i * 4)
  return record(
    zone.name,
    SOA,
    Buffer.concat([domain(`ns.${zone.name}`), domain(`hostmaster.${zone.name}`), numbers]),
  )
}
