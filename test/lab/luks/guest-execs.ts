import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Exec, parsed } from '../execs.ts'
import { $, $try, until } from '../shell.ts'
import { keyOf, type Machine } from './machine.ts'

/**
 * Records every program that is started over ssh on the machine, as soon as a system there lets the operator in. The records
 * are sent while they are made: a reset loses none that arrived.
 * @param control an argument of a program that is over at once, which must be among the records
 */
export function recordGuest(machine: Machine, control: string): { stop: () => Promise<Exec[]> } {
  const any = ['-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null', '-o', 'LogLevel=ERROR']
  const alive = ['-o', 'BatchMode=yes', '-o', 'ConnectTimeout=5', '-o', 'ServerAliveInterval=5']
  const key = ['-i', keyOf('operator'), '-o', 'IdentitiesOnly=yes']
  const ssh = ['ssh', '-F', 'none', ...key, ...any, ...alive, `root@${machine.address}`]
  const recorder = readFileSync(join(import.meta.dirname, '..', 'execs.pl'))
  let text = ''
  const begun = (async () => {
    await until('a system that lets us in', 600, async () =>
      (await $try({ timeout: '20s' })`${ssh} true`).ok ? true : undefined,
    )
    await $({ input: recorder, timeout: '30s' })`${ssh} ${'cat > /run/execs.pl'}`
    // Not a child of what it records: a shell that has ended leaves it behind.
    const start = `rm -f /run/execs; server=$(systemctl show -p MainPID --value ssh)
(sleep 1; exec perl /run/execs.pl /run/execs guest=$server) < /dev/null > /run/execs.err 2>&1 &`
    await $({ timeout: '30s' })`${ssh} ${start}`
    const [program = '', ...args] = [...ssh, 'tail -n +1 -F /run/execs 2> /dev/null']
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'] })
    child.stdout.setEncoding('latin1').on('data', (part: string) => {
      text += part
    })
    await until('the recorder on the machine', 60, async () =>
      text.startsWith('attached') ? true : undefined,
    )
    await $({ timeout: '30s' })`${ssh} ${`/bin/true ${control}`}`
    return child
  })()
  begun.catch(() => {})
  return {
    stop: async () => {
      const child = await begun
      await sleep(1000)
      child.kill()
      await $try({ timeout: '20s' })`${ssh} ${'pkill -TERM -f /run/execs.pl'}`
      const lines = text.split('\n').slice(1, -1)
      return lines.filter((line) => line.startsWith('exec\t')).map(parsed)
    },
  }
}
