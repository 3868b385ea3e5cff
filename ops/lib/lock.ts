import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { Fail } from './fail.ts'
import type { Host } from './host.ts'
import type { Session } from './session.ts'
import { sh } from './sh.ts'
import { noConnection } from './ssh.ts'

export interface Claim {
  /** The lock's name: `deploy`, or `backup`. */
  name: string
  who: string
  what: string
}

/**
 * Holds a lock on the host while the work runs. It is an flock of a process on the host that lives from our connection:
 * when this process dies, however it dies, the lock is free at once; when the network vanishes, after a minute.
 * When the lock is lost while the work runs, the session is interrupted.
 * @param beat the holder says that it lives every so many seconds; silent for four times as long, the server lets the lock go
 * @throws Fail `locked` naming who holds it, since when, for what
 */
export async function withLock<T>(
  host: Host,
  session: Session,
  claim: Claim,
  work: () => Promise<T>,
  beat = 15,
): Promise<T> {
  if (session.dryRun) return work()
  const release = await acquire(host, session, claim, beat)
  try {
    return await work()
  } finally {
    await release()
  }
}

/** Holds several locks, taken in the order given. */
export function withLocks<T>(
  host: Host,
  session: Session,
  names: readonly string[],
  claim: Omit<Claim, 'name'>,
  work: () => Promise<T>,
): Promise<T> {
  const [name, ...others] = names
  if (!name) return work()
  return withLock(host, session, { ...claim, name }, () => withLocks(host, session, others, claim, work))
}

async function acquire(
  host: Host,
  session: Session,
  { name, who, what }: Claim,
  beat: number,
): Promise<() => Promise<void>> {
  const file = `/run/lock/everyskill-${name}.lock`
  const holder = `${who}, since ${new Date().toISOString()}, for: ${what}`
  const script = sh`exec 9>>${file}
if ! flock -n 9; then cat ${`${file}.holder`} 2>/dev/null || true; exit 4; fi
printf '%s\n' ${holder} > ${`${file}.holder`}
echo held
while read -r -t ${beat * 4} _; do :; done`
  const [program = 'bash', ...args] = host.argv(script, 0)
  // Detached: Ctrl-C must not free the lock while the script tidies up.
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true })
  child.stdin.on('error', () => {})
  const said: string[] = []
  child.stderr.on('data', (data) => said.push(String(data)))
  const held = new Promise<void>((done, fail) => {
    createInterface({ input: child.stdout }).on('line', (line) =>
      line === 'held' ? done() : said.unshift(line),
    )
    child.once('error', fail)
    child.once('close', (code) => fail(notHeld(code, name, said.join(''), host)))
  })
  await held
  const lost = () => session.interrupt(new Fail('noConnection', `the ${name} lock on ${host.name} was lost`))
  const closed = new Promise<void>((done) => child.once('close', () => done()))
  child.once('close', lost)
  const timer = setInterval(() => child.stdin.write('\n'), beat * 1000)
  return async () => {
    clearInterval(timer)
    child.off('close', lost)
    child.stdin.end()
    await Promise.race([closed, sleep(5000, undefined, { ref: false })])
  }
}

function notHeld(code: number | null, name: string, said: string, host: Host): Fail {
  if (code === 4)
    return new Fail(
      'locked',
      `the ${name} lock on ${host.name} is held by ${said || 'a process that has just started'}`,
    )
  if (code === 255) return new Fail('noConnection', noConnection(host.name, said))
  return new Fail('failed', `the ${name} lock on ${host.name} could not be taken: ${said}`)
}
