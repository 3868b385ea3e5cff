import type { Facts } from './facts.ts'
import { Fail } from './fail.ts'

export interface Needs {
  /** The public addresses that Caddy publishes on. */
  addresses: string[]
  bytes: number
  architecture: string
}

const spare = 2 * 1024 ** 3

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
    ...routes(facts),
    ...(facts.uid === '0'
      ? []
      : ['SERVER_USER must be root: the files that deploy writes belong to several users']),
  ]
  if (problems.length > 0) {
    throw new Fail(
      'refused',
      `the server is not ready; nothing was changed:\n${problems.map((p) => `  ${p}`).join('\n')}`,
    )
  }
}

function engine({ engine, compose }: Facts): string[] {
  if (engine === '')
    return ['no Docker engine answers: systemctl start docker, or install it (README, A real server)']
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
      `no space: ${gigabytes(facts.freeBytes)} free for Docker, ${gigabytes(bytes + spare)} needed: docker rmi the everyskill/* images of releases you will never roll back to, or a larger disk`,
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

/**
 * Docker before 28 closes the FORWARD chain only on a machine that did not forward before. Left open, a neighbour with a
 * route could reach the containers past Caddy; measured in test/exposure.lab.test.ts.
 */
function routes({ engine, forward }: Facts): string[] {
  if (forward !== 'ACCEPT' || atLeast(engine, [28, 0])) return []
  return [
    'the server forwards packets to containers from anywhere: iptables -P FORWARD DROP, and make it last (iptables-persistent)',
  ]
}

/** An address in its one canonical spelling; IPv6 has many. */
function canonical(address: string): string {
  const bare = address.replace(/^\[|\]$/g, '')
  return bare.includes(':') ? new URL(`http://[${bare}]`).hostname.slice(1, -1) : bare
}

function atLeast(version: string, [major, minor]: [number, number]): boolean {
  const [has = 0, then = 0] = version.replace(/^v/, '').split('.').map(Number)
  return has > major || (has === major && then >= minor)
}
