import { createSocket } from 'node:dgram'
import { connect } from 'node:net'

export type Scan = {
  /** Ports that accepted a connection, in order. */
  open: number[]
  /** How many refused, and how many said nothing in time. */
  refused: number
  silent: number
}

/** What became of one attempt to connect. */
export type Attempt = 'open' | 'refused' | 'silent' | 'unreachable'

/**
 * Tries to open one TCP connection.
 * @param timeout milliseconds
 * @throws when this machine could not even ask: out of ports or of files
 */
export function attempt(host: string, port: number, timeout = 2000): Promise<Attempt> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true })
    const end = (result: Attempt) => {
      socket.destroy()
      resolve(result)
    }
    socket.setTimeout(timeout, () => end('silent'))
    socket.once('connect', () => end('open'))
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED') end('refused')
      else if (error.code === 'ETIMEDOUT') end('silent')
      else if (error.code === 'EHOSTUNREACH' || error.code === 'ENETUNREACH') end('unreachable')
      else reject(error)
    })
  })
}

/**
 * A TCP connect scan of every port, 1 to 65535. A port that says nothing is asked once more.
 * @throws unless every port was asked and gave one of the three answers
 */
export async function scan(host: string): Promise<Scan> {
  const answers = new Map<number, Attempt>()
  await each(range(1, 65535), async (port) => answers.set(port, await attempt(host, port)))
  const silent = [...answers].filter(([, answer]) => answer === 'silent').map(([port]) => port)
  if (silent.length < 1000) await each(silent, async (port) => answers.set(port, await attempt(host, port)))
  const of = (wanted: Attempt) => [...answers].filter(([, answer]) => answer === wanted).map(([port]) => port)
  const found = {
    open: of('open').sort((a, b) => a - b),
    refused: of('refused').length,
    silent: of('silent').length,
  }
  const sum = found.open.length + found.refused + found.silent
  if (sum !== 65535) throw new Error(`${host}: only ${sum} of 65535 ports gave an answer that counts`)
  return found
}

/** Runs work for each item, 400 at a time. */
async function each<T>(items: T[], work: (item: T) => Promise<unknown>): Promise<void> {
  const queue = items.values()
  const worker = async () => {
    for (const item of queue) await work(item)
  }
  await Promise.all(Array.from({ length: 400 }, worker))
}

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)

/**
 * Whether QUIC answers on a UDP port. A packet of a version that cannot exist has to be answered with the list of those that do
 * (RFC 9000 section 6), with both connection ids swapped; quic-go wants at least 1200 bytes for that.
 * @returns the versions offered, such as 1; undefined if nothing comes in 2 s
 */
export function quicVersions(host: string, port: number): Promise<number[] | undefined> {
  const [destination, source] = [Buffer.from('everysk1'), Buffer.from('everysk2')]
  const head = Buffer.from([0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8, ...destination, 8, ...source])
  const socket = createSocket('udp4')
  return new Promise((resolve, reject) => {
    const end = (versions?: number[]) => {
      clearTimeout(timer)
      clearInterval(again)
      socket.close()
      resolve(versions)
    }
    const ask = () => socket.send(Buffer.concat([head, Buffer.alloc(1200 - head.length)]), port, host)
    const timer = setTimeout(end, 2000)
    const again = setInterval(ask, 500)
    socket.once('error', reject)
    socket.on('message', (answer) => {
      const swapped = Buffer.from([8, ...source, 8, ...destination])
      if (answer.length < 27 || answer.readUInt32BE(1) !== 0 || !answer.subarray(5, 23).equals(swapped))
        return
      end(range(0, (answer.length - 23) / 4 - 1).map((i) => answer.readUInt32BE(23 + 4 * i)))
    })
    ask()
  })
}
