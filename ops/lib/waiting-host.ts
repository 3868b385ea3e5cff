import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Session } from './session.ts'

/** Where an ssh server listens. */
interface Place {
  address: string
  port: number
}

/** What ssh servers say first, or undefined when nobody does within some seconds. A port that only accepts says nothing. */
export function banner(address: string, port: number, seconds: number): Promise<string | undefined> {
  return new Promise((done) => {
    const socket = connect({ host: address, port, timeout: seconds * 1000 })
    const timer = setTimeout(() => end(undefined), seconds * 1000)
    let text = ''
    function end(line: string | undefined): void {
      clearTimeout(timer)
      socket.destroy()
      done(line)
    }
    socket.setEncoding('latin1')
    socket.on('data', (more) => {
      text += more
      const line = /^SSH-.*$/m.exec(text)?.[0]
      if (line && text.includes('\n')) end(line.trim())
      else if (text.length > 4096) end(undefined)
    })
    for (const event of ['error', 'end', 'timeout'] as const) socket.on(event, () => end(undefined))
  })
}

/** Waits for a host to stand at its unlock prompt: Dropbear's banner, not only an open port. */
export async function atPrompt(
  _session: Session,
  { address, port }: Place,
  seconds: number,
): Promise<boolean> {
  return until(seconds, async () => isPrompt(await banner(address, port, 5)))
}

/** Waits for a host's own sshd, which only its encrypted root has. */
export async function started(address: string, port: number, seconds: number): Promise<boolean> {
  return until(seconds, async () => isSshd(await banner(address, port, 5)))
}

async function until(seconds: number, look: () => Promise<boolean>): Promise<boolean> {
  const end = performance.now() + seconds * 1000
  for (;;) {
    if (await look()) return true
    if (performance.now() >= end) return false
    await sleep(1000)
  }
}

/** Waits for Dropbear to be gone, which the initramfs ends when it goes on. */
export async function leftPrompt(address: string, port: number, seconds: number): Promise<boolean> {
  return until(seconds, async () => !isPrompt(await banner(address, port, 5)))
}

/** Where a host is in its start: at the unlock prompt, up with an sshd, or neither answers. */
export type Where = 'waiting' | 'up' | 'silent'

/**
 * Finds out where a host is, and waits while it is silent. The rescue system is `up` too: only its host key tells.
 * @param ssh the port of its own sshd
 */
export async function whereIs(
  address: string,
  ports: { prompt: number; ssh: number },
  seconds: number,
): Promise<Where> {
  let where: Where = 'silent'
  await until(seconds, async () => {
    const said = await Promise.all([ports.prompt, ports.ssh].map((port) => banner(address, port, 5)))
    if (isPrompt(said[0])) where = 'waiting'
    else if (isSshd(said[1])) where = 'up'
    return where !== 'silent'
  })
  return where
}

function isPrompt(said = ''): boolean {
  return /^SSH-2\.0-dropbear/i.test(said)
}

function isSshd(said = ''): boolean {
  return /^SSH-2\.0-(?!dropbear)/i.test(said)
}
