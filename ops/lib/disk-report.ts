import { mapped, readHeader } from './header.ts'
import type { Host } from './host.ts'
import { phasesFile } from './new-root.ts'
import { sh } from './sh.ts'

/** A phase of a run, for the report. */
export interface Phase {
  name: string
  seconds: number
}

/** The encrypted disk of a running system, as it says itself. */
export async function diskReport(server: Host) {
  const text = await server.read(sh`cryptsetup status ${mapped} | sed -n 's/^ *device: *//p'
cryptsetup status ${mapped} | sed 's/^ */status /'
lsblk -so NAME,TYPE,FSTYPE,SIZE /dev/mapper/${mapped} | sed 's/^/lsblk /'
sed 's/^/phase /' ${phasesFile}`)
  const [device = '', ...rest] = text.split('\n')
  const after = (word: string) =>
    rest.filter((line) => line.startsWith(`${word} `)).map((line) => line.slice(word.length + 1))
  const header = await readHeader(server, device)
  return { device, header, status: after('status'), lsblk: after('lsblk'), done: after('phase') }
}

export type DiskReport = Awaited<ReturnType<typeof diskReport>>

/** The report for a person. */
export function reportLines({ device, header, lsblk, done }: DiskReport, phases: readonly Phase[]): string[] {
  const slots = header.slots.map(
    ({ slot, custodian, kdf, memory, iterations, parallel }) =>
      `  slot ${slot}: ${custodian ?? 'nobody'}, ${kdf} ${memory} KiB, ${iterations} times, ${parallel} threads`,
  )
  return [
    `${device}: LUKS2 ${header.label} ${header.uuid}, ${header.cipher}, ${header.keyBits} bit key`,
    ...slots,
    ...lsblk.map((line) => `  ${line}`),
    ...done.filter((line) => /^(header|unlocked):/.test(line)).map((line) => `  ${line}`),
    ...phases.map(({ name, seconds }) => `  ${seconds.toFixed(1).padStart(7)} s  ${name}`),
  ]
}
