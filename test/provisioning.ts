/** A rescue system that runs nothing: answers as a machine would whose disk is blank, half done, or done. */
import type { Header } from '../ops/lib/header.ts'
import type { Script } from '../ops/lib/sh.ts'
import { Captor } from './hosts.ts'

const gib = 1024 ** 3
export const uuid = '0f0e0d0c-0b0a-0908-0706-050403020100'

/** lsblk's JSON of a disk with its partitions. */
export function lsblk(over: object = {}, children: object[] = []): string {
  const disk = { name: '/dev/sda', type: 'disk', size: 40 * gib, serial: 'S1', mountpoints: [null] }
  return JSON.stringify({ blockdevices: [{ ...disk, ...(children.length > 0 && { children }), ...over }] })
}

/** The partitions that we make, as lsblk lists them. */
export const ourParts = ['bios', 'boot', 'luks'].map((name, i) => ({
  ...{ name: `/dev/sda${i + 1}`, type: 'part', size: gib, serial: null },
  ...{ partlabel: `everyskill-${name}`, parttype: 'x', mountpoints: [null] },
}))

/** What the look at a rescue system's disk prints. */
export function looked(disk = lsblk(), more: readonly string[] = []): string {
  const base = [
    'hostname\trescue',
    'root\t/dev/vda',
    'memory\t4000000',
    'firmware\tbios',
    'any\t/dev/sda 42949672960 S1 disk',
  ]
  return [...base, `disk\t${disk}`, ...more].join('\n')
}

/** What `dumpHeader` prints of a header. */
export function dumped(slots: Header['slots']): string {
  const kdf = (one: Header['slots'][number]) => ({
    ...{ type: one.kdf, time: one.iterations, memory: one.memory, cpus: one.parallel, salt: '' },
  })
  const keyslots = slots.map((one) => [one.slot, { type: 'luks2', key_size: 64, kdf: kdf(one) }])
  const tokens = slots.flatMap((one) =>
    one.custodian
      ? [
          {
            type: 'everyskill-custodian',
            keyslots: [`${one.slot}`],
            name: one.custodian,
            key: one.fingerprint,
          },
        ]
      : [],
  )
  const json = {
    ...{ keyslots: Object.fromEntries(keyslots), tokens: { ...tokens } },
    segments: { 0: { type: 'crypt', encryption: 'aes-xts-plain64' } },
  }
  return `${uuid}\neveryskill\n${JSON.stringify(json)}`
}

/** Keeps what is fed to it too, without running either end. */
export class Rescue extends Captor {
  readonly fed: string[] = []

  override async feed(source: readonly string[], script: Script): Promise<void> {
    this.fed.push(source.join(' '))
    await this.probe(script)
  }
}
