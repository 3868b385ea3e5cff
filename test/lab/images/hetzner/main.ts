import { readFileSync } from 'node:fs'
import { serveApi } from './api.ts'
import { serveDns } from './dns.ts'
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
const token = () => readFileSync('/certs/dns-token', 'utf8').trim()
serveDns(zone, setting('WILDCARD'), names)
serveApi(zone, token, readFileSync('/certs/server.pem'), readFileSync('/certs/server.key'))
process.on('SIGTERM', () => process.exit(0))
