/** What a person does in the console without HCLOUD_TOKEN. */
export function consoleSteps(address: string, mode: 'rescue' | 'disk'): string[] {
  const on = [
    `In console.hetzner.cloud, the project, the server ${address}:`,
    '  1. Rescue tab: "Enable rescue & power cycle", type linux64, with your ssh key (the one of SERVER_SSH_KEY).',
    '  2. If it only says that rescue is enabled: Power tab, "Reset".',
  ]
  const off = [
    `In console.hetzner.cloud, the project, the server ${address}:`,
    '  1. Rescue tab: it must say that rescue is disabled.',
    '  2. Power tab: "Reset".',
  ]
  return mode === 'rescue' ? on : off
}
