/** Runs a runbook's blocks as a reader would: pasted one after another into one shell. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { $try, ROOT } from '../lab/shell.ts'
import { type Block, missing, type Runbook } from './runbook.ts'

export type Played = { block: Block; printed: string }

/** What a reader types when a block asks, each line with its newline; by words that stand in the block. */
export type Answers = Record<string, string>

/**
 * Runs the lab blocks in order. The shell stops at the first command that fails, which a careful reader would do too.
 * @param values bash text to put after `NAME=` or, for a function, in the place of the whole line `NAME() { … }`
 * @throws when a command fails, or prints something other than what the runbook says; with what it printed
 */
export async function play(
  { file, blocks }: Runbook,
  values: Record<string, string>,
  seconds = 600,
  answers: Answers = {},
): Promise<Played[]> {
  const dir = mkdtempSync(join(tmpdir(), 'runbook-'))
  try {
    const lab = blocks.filter(({ kind }) => kind === 'lab')
    const output = (i: number) => join(dir, `${i}.out`)
    const pasted = lab.map(({ code }, i) => {
      const typed = Object.entries(answers).find(([words]) => code.includes(words))?.[1]
      const input = typed === undefined ? '/dev/null' : join(dir, `${i}.in`)
      if (typed !== undefined) writeFileSync(input, typed, { mode: 0o600 })
      return `{\n${fill(code, values)}\n} > ${output(i)} 2>&1 < ${input}; echo ${i} >> ${dir}/done`
    })
    const shell = join(dir, 'runbook.sh')
    writeFileSync(`${dir}/done`, '')
    writeFileSync(shell, `set -euo pipefail\n${pasted.join('\n')}\n`, { mode: 0o600 })
    // A crontab of this run's own: the machine's is its owner's.
    mkdirSync(`${dir}/bin`)
    writeFileSync(
      `${dir}/bin/crontab`,
      `#!/bin/sh
if [ "$1" = - ]; then cat > ${dir}/crontab.new && mv ${dir}/crontab.new ${dir}/crontab; exit; fi
cat ${dir}/crontab 2> /dev/null || { echo "no crontab for you" >&2; exit 1; }
`,
      { mode: 0o700 },
    )
    const env = { ...process.env, TMPDIR: dir, NO_COLOR: '1', PATH: `${dir}/bin:${process.env.PATH}` }
    const run = await $try({ cwd: ROOT, env, timeout: `${seconds}s` })`bash ${shell}`
    const done = readFileSync(`${dir}/done`, 'utf8').split('\n').length - 1
    const played = lab.slice(0, done + 1).map((block, i) => ({ block, printed: read(output(i)) }))
    const last = played.at(-1)
    if (done < lab.length && last)
      throw new Error(
        `${file}:${last.block.line} ended with ${run.exitCode ?? run.signal}\n${last.printed}${run.stderr}`,
      )
    for (const { block, printed } of played) {
      const lines = missing(block.expected, printed)
      if (lines.length > 0)
        throw new Error(`${file}:${block.line} did not print\n${lines.join('\n')}\nbut\n${printed}`)
    }
    return played
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** Puts the test's values where the reader puts their own. */
export function fill(code: string, values: Record<string, string>): string {
  return Object.entries(values).reduce(
    (text, [name, value]) =>
      text
        .replace(new RegExp(`^${name}\\(\\) \\{.*\\}$`, 'm'), () => `${name}() { ${value} "$@"; }`)
        .replace(new RegExp(`^${name}=.*$`, 'm'), () => `${name}=${value}`),
    code,
  )
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
