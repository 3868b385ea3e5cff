import { join, resolve } from 'node:path'
import { $ } from 'zx'
import { Fail } from './fail.ts'
import type { Session } from './session.ts'

const root = join(import.meta.dirname, '../..')

/**
 * Runs another script of this repository as its operator would: with its own locks, checks and line in the audit log. What
 * it prints goes to stderr.
 * @throws Fail naming the script, with its last words
 */
export async function program(
  session: Session,
  envFile: string,
  name: string,
  args: readonly string[] = [],
): Promise<void> {
  const words = [
    `ops/${name}.ts`,
    ...args,
    '--env',
    resolve(envFile),
    ...(session.dryRun ? ['--dry-run'] : []),
  ]
  const run = await session.command(() =>
    $({ cwd: root })`${process.execPath} --import tsx ${words} 2>&1`.nothrow(),
  )
  const said = run.stdout.trim().split('\n')
  for (const line of said) session.say(`    ${line}`)
  if (run.exitCode !== 0)
    throw new Fail('failed', `ops/${name}.ts ended with ${run.exitCode}: ${said.slice(-6).join('\n')}`)
}
