/** Hosts for tests: one that runs nothing, and this machine with the server's folders elsewhere and programs of ours. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Answer, Host, type RunOptions } from '../ops/lib/host.ts'
import { Session } from '../ops/lib/session.ts'
import { Script } from '../ops/lib/sh.ts'

/** A session that keeps what it says and prints. */
export class Listener extends Session {
  readonly said: string[] = []
  readonly printed: string[] = []

  constructor(dryRun = false) {
    super({ dryRun, quiet: true })
  }

  override say(line: string): void {
    this.said.push(line)
  }

  override result(line: string): void {
    this.printed.push(line)
  }
}

/** Runs nothing: keeps every script, and answers as it is told, by default with nothing. */
export class Captor extends Host {
  readonly scripts: string[] = []
  readonly inputs: string[] = []
  readonly #answer: (script: string, input: string) => string | Answer

  constructor(answer: (script: string, input: string) => string | Answer = () => '') {
    super('captor', [], new Listener())
    this.#answer = answer
  }

  override async probe(script: Script, { input = '' }: RunOptions = {}): Promise<Answer> {
    this.scripts.push(script.text)
    this.inputs.push(String(input))
    const said = this.#answer(script.text, String(input))
    return typeof said === 'string' ? { code: 0, stdout: said, stderr: '' } : said
  }
}

/** Runs nothing either, but keeps what is put, and gives it back to `cat`. */
export class Keeper extends Captor {
  readonly files = new Map<string, string>()

  constructor() {
    super((script) => {
      const [, path = ''] = /^cat '([^']+)' 2> \/dev\/null \|\| true$/.exec(script) ?? []
      if (path === '') throw new Error(`a script that this host does not know: ${script}`)
      return this.files.get(path) ?? ''
    })
  }

  override async put(path: string, content: string | Buffer): Promise<void> {
    this.files.set(path, String(content))
  }
}

/** Where the server's folders are, and where they are moved to below the folder of a test. */
const moved = {
  '/opt/everyskill': 'opt',
  '/var/backups/everyskill': 'backups',
  '/run/lock/': 'lock/',
  '/etc/dropbear/initramfs': 'dropbear',
  '/boot/': 'boot/',
}

/** This machine, with the server's folders below a folder of the test's and the programs in its `bin` before all others. */
export class Elsewhere extends Host {
  readonly dir: string

  constructor(dir: string, session: Session) {
    super('elsewhere', [], session)
    this.dir = dir
    for (const name of ['bin', ...Object.values(moved)]) mkdirSync(join(dir, name), { recursive: true })
    // Not everybody who runs the tests may give files away
    this.program('chown', 'exit 0')
  }

  /** Puts a program of ours before all others. */
  program(name: string, body: string): void {
    writeFileSync(join(this.dir, 'bin', name), `#!/bin/bash\n${body}\n`, { mode: 0o755 })
  }

  /** A path of the server where it is here. */
  at(path: string): string {
    return Object.entries(moved).reduce((text, [from, to]) => text.replaceAll(from, join(this.dir, to)), path)
  }

  override probe(script: Script, options?: RunOptions): Promise<Answer> {
    const text = `PATH=${join(this.dir, 'bin')}:$PATH\n${this.at(script.text)}`
    return super.probe(new Script(text), options)
  }
}

/**
 * `ssh` to a Storage Box that is a folder of this machine: takes options away and runs what is left in that folder; keeps each
 * command in `log`. While the folder is not there the box does not answer.
 */
export function boxIn(folder: string, log: string): string {
  return `while [ $# -gt 0 ]; do
  case $1 in -p | -i | -o | -l) shift 2 ;; -*) shift ;; *) break ;; esac
done
shift
cd ${folder} 2> /dev/null || { echo "ssh: connect to host: Connection refused" >&2; exit 255; }
printf "%s\\n" "$*" >> ${log}
exec sh -c "$*"`
}
