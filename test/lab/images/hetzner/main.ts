import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { serveApi } from './api.ts'
import { serveDns } from './dns.ts'
import { Servers } from './servers.ts'
import { StorageBox } from './storagebox.ts'
import { Zone } from './zone.ts'

const setting = (name: string): string => {
  const value = process.env[name]
  if (!value) throw new Error(`${name} is not set`)
  return value
}

const zone = new Zone(setting('ZONE'))
const names = new Map(
  setting('NAMES')
    .split(',')
    .map((pair) => pair.split('=') as [string, string]),
)
const box = new StorageBox({
  account: setting('BOX'),
  content: '/box',
  snapshots: '/snapshots',
  pause: () => sleep(1000),
})
const servers = new Servers({
  name: 'everyskill',
  address: setting('SERVER'),
  power: '/power',
  pause: () => sleep(1000),
})
const text = (name: string) => readFileSync(`/certs/${name}`, 'utf8').trim()
const tokens = { dns: () => text('dns-token'), hcloud: () => text('hcloud-token') }
const [cert, key] = [readFileSync('/certs/server.pem'), readFileSync('/certs/server.key')]
serveDns(zone, setting('WILDCARD'), names)
serveApi({ zone, box, servers, tokens, cert, key }, 443)
process.on('SIGTERM', () => process.exit(0))
