import { Fail } from './fail.ts'
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
  /** Whether our own Caddy runs: then the ports are ours. */
  caddyRuns: boolean
}

export interface Needs {
  /** The public addresses that Caddy publishes on. */
  addresses: string[]
  bytes: number
  architecture: string
}

const spare = 2 * 1024 ** 3

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
    caddyRuns: one('caddy') !== '',
  }
}

/**
 * Judges the facts against what a deploy needs.
 * @param now this machine's clock, milliseconds
 * @throws Fail `refused` with everything that stands in the way and its mend; nothing was changed
 */
export function judge(facts: Facts, needs: Needs, now: number): void {
  const problems = [
    ...engine(facts),
    ...machine(facts, needs),
    ...(Math.abs(facts.clock * 1000 - now) > 60_000
      ? ['the clocks of server and operator differ by more than a minute: check NTP on both']
      : []),
    ...ports(facts, needs.addresses),
  ]
  if (problems.length > 0) {
    throw new Fail(
      'refused',
      `the server is not ready; nothing was changed:\n${problems.map((p) => `  ${p}`).join('\n')}`,
    )
  }
}

function engine({ engine, compose }: Facts): string[] {
  if (engine === '') return ['no Docker engine answers: run tsx ops/bootstrap.ts, or systemctl start docker']
  const problems = []
  if (!atLeast(engine, [20, 10])) problems.push(`Docker ${engine} is older than 20.10: upgrade it`)
  if (!atLeast(compose, [2, 30]))
    problems.push(
      `Docker Compose ${compose || 'is missing'}; 2.30 or newer is needed: install docker-compose-plugin`,
    )
  return problems
}

function machine(facts: Facts, { addresses, bytes, architecture }: Needs): string[] {
  const problems = []
  const gigabytes = (n: number) => `${(n / 1024 ** 3).toFixed(1)} GB`
  if (facts.freeBytes < bytes + spare) {
    problems.push(
      `no space: ${gigabytes(facts.freeBytes)} free for Docker, ${gigabytes(bytes + spare)} needed: docker image prune -a, or a larger disk`,
    )
  }
  const here = facts.addresses.map(canonical)
  const strange = addresses.filter((address) => !here.includes(canonical(address)))
  if (strange.length > 0) {
    problems.push(
      `${strange.join(' and ')} (PUBLIC_IPV4, PUBLIC_IPV6) is not an address of the server; it has ${facts.addresses.join(', ')}`,
    )
  }
  const platform = { x86_64: 'linux/amd64', aarch64: 'linux/arm64' }[facts.architecture] ?? facts.architecture
  if (platform !== architecture)
    problems.push(
      `the server is ${platform}, the images are ${architecture}: set DEPLOY_PLATFORM and build again`,
    )
  return problems
}

/** A wildcard listener takes the port on every address; one on another address is no hindrance (Tailscale's own). */
function ports(facts: Facts, addresses: string[]): string[] {
  if (facts.caddyRuns) return []
  const ours = [...addresses.map(canonical), '*', '0.0.0.0', '::']
  const inOurWay = facts.listeners.filter((socket) => ours.includes(canonical(socket.address)))
  return inOurWay.map(
    ({ address: at, port, holder }) =>
      `port ${port} is taken on ${at} by ${holder}: stop it, or move it to another port (for Tailscale: tailscale serve --https=443 off)`,
  )
}

/** An address in its one canonical spelling; IPv6 has many. */
function canonical(address: string): string {
  const bare = address.replace(/^\[|\]$/g, '')
  return bare.includes(':') ? new URL(`http://[${bare}]`).hostname.slice(1, -1) : bare
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

function atLeast(version: string, [major, minor]: [number, number]): boolean {
  const [has = 0, then = 0] = version.replace(/^v/, '').split('.').map(Number)
  return has > major || (has === major && then >= minor)
}
