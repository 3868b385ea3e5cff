import type { Host } from './host.ts'
import { lines, sh } from './sh.ts'

/** What a look at the server tells; gathered in one read-only script. */
export interface Facts {
  engine: string
  compose: string
  architecture: string
  clock: number
  freeBytes: number
  addresses: string[]
  /** Listening sockets on 80 and 443: local address and the process that holds it. */
  listeners: { address: string; port: string; holder: string }[]
  /** The user id that we are on the server. */
  uid: string
  /** The policy of iptables' FORWARD chain; empty where there is no iptables. */
  forward: string
  /** Whether our own Caddy runs: then the ports are ours. */
  caddyRuns: boolean
}

/** Looks; changes nothing. */
export async function look(host: Host): Promise<Facts> {
  const text = await host.read(
    lines(
      sh`say() { printf '%s\t%s\n' "$1" "$2"; }`,
      sh`say engine "$(docker version --format '{{.Server.Version}}' 2>/dev/null || true)"`,
      sh`say compose "$(docker compose version --short 2>/dev/null || true)"`,
      sh`say architecture "$(uname -m)"; say clock "$(date +%s)"`,
      sh`say free "$(df -Pk "$(docker info --format '{{.DockerRootDir}}' 2>/dev/null || echo /)" | awk 'END { print $4 }')"`,
      sh`ip -o addr | awk '{ split($4, a, "/"); print "address\t" a[1] }'`,
      sh`{ ss -Hltnp '( sport = :80 or sport = :443 )'; ss -Hlunp '( sport = :443 )'; } | awk '{ print "listener\t" $4 " " $6 }'`,
      sh`say uid "$(id -u)"`,
      sh`say forward "$(iptables -S FORWARD 2>/dev/null | awk 'NR == 1 { print $3 }' || true)"`,
      sh`say caddy "$(docker ps -q --filter label=com.docker.compose.project=everyskill --filter label=com.docker.compose.service=caddy 2>/dev/null || true)"`,
    ),
  )
  const all = (key: string) =>
    text
      .split('\n')
      .filter((line) => line.startsWith(`${key}\t`))
      .map((line) => line.slice(key.length + 1))
  const one = (key: string) => all(key)[0] ?? ''
  return {
    engine: one('engine'),
    compose: one('compose'),
    architecture: one('architecture'),
    clock: Number(one('clock')),
    freeBytes: Number(one('free')) * 1024,
    addresses: all('address'),
    listeners: all('listener').map(listener),
    uid: one('uid'),
    forward: one('forward'),
    caddyRuns: one('caddy') !== '',
  }
}

function listener(line: string): Facts['listeners'][number] {
  const [socket = '', users = ''] = line.split(' ')
  const colon = socket.lastIndexOf(':')
  return {
    address: socket.slice(0, colon).replace(/%.*$/, ''),
    port: socket.slice(colon + 1),
    holder: /"([^"]+)",pid=(\d+)/.exec(users)?.slice(1, 3).join(', pid ') ?? 'an unknown process',
  }
}
