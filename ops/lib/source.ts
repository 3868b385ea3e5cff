import { join } from 'node:path'
import { $, type ProcessPromise } from 'zx'
import { Fail } from './fail.ts'
import type { Host } from './host.ts'
import { isLabel, type Manifest, parseManifest, type Shelf } from './manifest.ts'
import { paths } from './paths.ts'
import type { Session } from './session.ts'
import { noConnection } from './ssh.ts'
import { type Box, boxFolder } from './storagebox.ts'

/** A place that this machine fetches backups from: the Storage Box, asked directly for the server may be gone, or the server. */
export class Source {
  readonly name: string
  /** Which settings name the way there. */
  readonly #whose: 'SERVER' | 'STORAGEBOX'
  /** argv in front of a command there; empty for this machine. */
  readonly #way: readonly string[]
  readonly #dir: string
  readonly #session: Session

  constructor(whose: 'SERVER' | 'STORAGEBOX', way: readonly string[], dir: string, session: Session) {
    this.#whose = whose
    this.name = whose === 'SERVER' ? 'server' : 'Storage Box'
    this.#way = way
    this.#dir = dir
    this.#session = session
  }

  /** The finished backups there, the oldest first. */
  async labels(): Promise<string[]> {
    const text = await this.#ask(() => $`${[...this.#way, 'ls', this.#dir]}`)
    return text.split('\n').filter(isLabel).sort()
  }

  /** A backup's manifest. */
  async manifest(label: string): Promise<Manifest> {
    const known = await this.labels()
    if (!known.includes(label)) throw new Fail('usage', `there is no backup ${label} on the ${this.name}`)
    return parseManifest(await this.#ask(() => $`${this.cat(label, 'manifest.json')}`), label, this.name)
  }

  /** argv that gives a backup's file out. */
  cat(label: string, file: string): string[] {
    return [...this.#way, 'cat', `${this.#dir}/${label}/${file}`]
  }

  /**
   * Brings a backup's encrypted files into a folder of this machine and compares them with their manifest.
   * @throws Fail `unverified` when one is truncated or altered
   */
  async fetch(manifest: Manifest, dir: string): Promise<void> {
    for (const [file, { sha256 }] of Object.entries(manifest.files)) {
      await this.#ask(() => $`${this.cat(manifest.label, file)} > ${join(dir, file)}`)
      const sum = await this.#ask(() => $`sha256sum < ${join(dir, file)}`)
      if (sum.startsWith(sha256)) continue
      throw new Fail(
        'unverified',
        `${file} of ${manifest.label} on the ${this.name} is truncated or altered: its SHA-256 is not that of its manifest. Nothing was touched. Take it from the other place (--from), or an older one.`,
      )
    }
  }

  async #ask(start: () => ProcessPromise): Promise<string> {
    const answer = await this.#session.command(() => start().nothrow())
    if (answer.exitCode === 0) return answer.stdout
    if (answer.exitCode === 255)
      throw new Fail('noConnection', noConnection(`the ${this.name}`, answer.stderr, this.#whose))
    throw new Fail('failed', `${this.name}: ${answer.stderr.trim().split('\n').slice(-3).join('\n')}`)
  }
}

/** The Storage Box. */
export function fromBox(box: Box, session: Session, where: Shelf = 'dumps'): Source {
  return new Source('STORAGEBOX', box.ssh, boxFolder(box, where).dir, session)
}

/** The server's own copies. */
export function fromServer(server: Host, session: Session, where: Shelf = 'dumps'): Source {
  return new Source('SERVER', server.isLocal ? [] : server.sshArgv, paths[where], session)
}
