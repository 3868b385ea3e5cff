/** A server and a Storage Box for tests, both folders of this machine, and `ssh` that leads from one to the other. */
import { existsSync, mkdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type Box, serverBox } from '../ops/lib/storagebox.ts'
import { boxIn, Elsewhere, Listener } from './hosts.ts'

export const repository = '/var/backups/everyskill/repository'
const archive = 'archive/everyskill'
const backup = 'backup/everyskill'

export class World {
  readonly session = new Listener()
  readonly host: Elsewhere
  readonly box: Box = serverBox({
    STORAGEBOX_USER: 'u1-sub1',
    STORAGEBOX_HOST: 'box.example',
    STORAGEBOX_PORT: '23',
    STORAGEBOX_DIR: 'backups',
    STORAGEBOX_SSH_KEY: 'key',
    STORAGEBOX_KNOWN_HOSTS: 'known',
  })
  /** Holds both. */
  readonly dir: string

  constructor(dir: string) {
    this.dir = dir
    this.host = new Elsewhere(join(dir, 'server'), this.session)
    for (const path of [join(dir, 'box'), this.host.at(repository)]) mkdirSync(path)
    this.host.program('ssh', boxIn(join(dir, 'box'), join(dir, 'log')))
  }

  /** A path in the account's home on the box. */
  onBox(path: string): string {
    return join(this.dir, 'box', path)
  }

  /** Writes a file of the server's repository. */
  file(path: string, content: string = path): void {
    write(this.host.at(`${repository}/${path}`), content)
  }

  /** A finished backup and the catalogue that names it; `seen` tells one catalogue from another, for size and time do not. */
  backup(label: string, seen: string): void {
    this.file(`${backup}/${label}/backup.manifest`)
    this.file(`${backup}/${label}/pg_data/base/1.zst`)
    write(this.host.at(`/var/backups/everyskill/manifests/${label}.json`), `{"label":"${label}"}`)
    this.catalogue(seen)
  }

  catalogue(seen: string): void {
    for (const info of [`${backup}/backup.info`, `${archive}/archive.info`])
      for (const name of [info, `${info}.copy`]) {
        this.file(name, seen)
        utimesSync(this.host.at(`${repository}/${name}`), 1e9, 1e9)
      }
  }

  /** A segment of the archive. */
  wal(name: string): void {
    this.file(`${archive}/17-1/${name.slice(0, 16)}/${name}-${'a'.repeat(40)}.zst`)
  }

  /** What was asked of the box since this was asked last. */
  asked(): string[] {
    const log = join(this.dir, 'log')
    const text = existsSync(log) ? readFileSync(log, 'utf8').trim() : ''
    rmSync(log, { force: true })
    return text === '' ? [] : text.split('\n')
  }
}

function write(path: string, content: string): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, content)
}
