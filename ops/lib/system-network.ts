/** The address that the server has at the unlock prompt and afterwards. */
export type Network =
  | { kind: 'dhcp'; ipv6: string | undefined }
  | { kind: 'static'; address: string; gateway: string; ipv6: string | undefined }

/** The network card's name, at the prompt and afterwards: the kernel is told not to invent another one. */
export const card = 'eth0'

/** The ip= of the initramfs: static with a /32 and a gateway outside of it, as Hetzner has it. */
export function initramfsIp({ network, hostname }: { network: Network; hostname: string }): string {
  if (network.kind === 'dhcp') return 'dhcp'
  return `${network.address}::${network.gateway}:255.255.255.255:${hostname}:${card}:off`
}

/** networkd alone, so that one file says it all; both Ubuntu and Debian have it. */
export function networkFile(network: Network): string[] {
  const fixed = network.kind === 'static'
  const addresses = [
    ...(fixed ? [`${network.address}/32`] : []),
    ...(network.ipv6 ? [`${network.ipv6}/64`] : []),
  ]
  const gateways = [...(fixed ? [network.gateway] : []), ...(network.ipv6 ? ['fe80::1'] : [])]
  return [
    ...['[Match]', `Name=${card}`, '[Network]', `DHCP=${fixed ? 'no' : 'ipv4'}`, 'IPv6AcceptRA=no'],
    ...addresses.map((address) => `Address=${address}`),
    ...(fixed ? ['DNS=185.12.64.1', 'DNS=185.12.64.2'] : []),
    ...gateways.flatMap((gateway) => ['[Route]', `Gateway=${gateway}`, 'GatewayOnLink=yes']),
  ]
}
