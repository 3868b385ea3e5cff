/** What can be told of a script without running it. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'

/** Fails when a script is not bash that parses. */
export function parses(...scripts: string[]): void {
  assert.ok(scripts.length > 0, 'there is no script')
  for (const text of scripts) {
    assert.not.equal(text.trim(), '')
    const { status, stderr } = spawnSync('bash', ['-n', '-c', text], { encoding: 'utf8' })
    assert.is(status, 0, `${stderr}\n${text}`)
  }
}

/** Fails when ShellCheck has something to say about scripts as a host runs them. Without the program nothing is asked. */
export function clean(...scripts: string[]): void {
  parses(...scripts)
  if (spawnSync('shellcheck', ['--version']).status !== 0) return
  const dir = mkdtempSync(join(tmpdir(), 'bash-'))
  const files = scripts.map((text, i) => {
    const file = join(dir, `${i}.sh`)
    writeFileSync(file, `set -euo pipefail\n${text}\n`)
    return file
  })
  // SC2041, SC2043, SC2050: what is a variable in our code is a constant in the script. SC2071: digits that are compared as
  // words. SC2010: names that pgBackRest makes.
  const except = 'SC2010,SC2041,SC2043,SC2050,SC2071'
  const args = ['--shell=bash', '--severity=warning', `--exclude=${except}`, ...files]
  const { status, stdout } = spawnSync('shellcheck', args, { encoding: 'utf8' })
  rmSync(dir, { recursive: true })
  assert.is(status, 0, stdout)
}
