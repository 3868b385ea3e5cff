/**
 * `npm run bench -- NAME [flags]`: measures what the README claims, against what it claims to be better than.
 *
 *   backup [--quick] [--image NAME]   the backup of this repository against an hourly pg_dump | gzip | gpg
 *
 *   --quick       small databases, about a minute: shows that the bench works, proves nothing
 *   --image NAME  a Postgres image on this machine (default: the newest one that ops/build.ts left)
 *
 * A table on stdout, progress on stderr, all numbers in .lab/bench. Exit codes as the scripts' in ops. A target that is not
 * reached is a result, not a failure; restored rows that differ are one.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { type End, report, stop } from '../../ops/lib/ending.ts'
import { Fail } from '../../ops/lib/fail.ts'
import { backup } from './backup.ts'
import { alone, removeAll } from './containers.ts'

const benches = { backup }
const options = { quick: { type: 'boolean', default: false }, image: { type: 'string' } } as const

function call(): () => Promise<void> {
  try {
    const { values, positionals } = parseArgs({ options, allowPositionals: true, strict: true })
    const [name = '', ...rest] = positionals
    if (rest.length > 0 || !Object.hasOwn(benches, name))
      throw new Error(`'${positionals.join(' ')}' is no bench; there are: ${Object.keys(benches).join(', ')}`)
    return () => benches[name as keyof typeof benches](values)
  } catch (error) {
    throw new Fail('usage', (error as Error).message)
  }
}

/** Runs the bench that the words name; nothing of it is left, whatever ends it. */
async function run(): Promise<number> {
  const bench = call()
  await alone()
  const stopped = stop()
  const work = bench().then(
    () => ({}),
    (error: unknown) => ({ error }),
  )
  const end: End = await Promise.race([work, stopped])
  const code = 'error' in end ? report(end.error) : 0
  await removeAll()
  if (end.early) {
    // It may have been starting a container just then.
    await Promise.race([work, sleep(20_000)])
    await removeAll()
  }
  return code
}

process.exit(await run().catch(report))
