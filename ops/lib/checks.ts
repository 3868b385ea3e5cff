import { type Cluster, countTables, inside, newestRow, pgvectorIn, query } from './database.ts'
import { database } from './dump.ts'
import { Fail } from './fail.ts'
import { columns, type Rows, total } from './manifest.ts'
import { boxBackupHours } from './overdue.ts'
import type { Target } from './target.ts'

/** One thing that a restored database was asked. */
export interface Check {
  name: string
  expected: string
  observed: string
  ok: boolean
}

/** What is asked of every restored database: is it the one that was recorded, and how new is it. */
export async function checkContent(cluster: Cluster, target: Target, now: Date): Promise<Check[]> {
  const { at, record } = target
  const [recovering = '?'] = await query(cluster, 'postgres', 'select pg_is_in_recovery()')
  const rows = await countTables(cluster, database)
  const counted = checkRows(record?.rows ?? {}, rows)
  const uncounted = {
    name: 'rows',
    expected: 'some',
    observed: `${total(rows)} in ${Object.keys(rows).length} tables`,
    ok: Object.keys(rows).length > 0,
  }
  const limit = at ?? now
  const newest = await newestRow(cluster, database, '9999-12-31')
  const pgvector = (await pgvectorIn(cluster, database)) ?? 'none'
  return [
    check('in recovery', 'f', recovering),
    ...(counted.length > 0 ? counted : [uncounted]),
    {
      name: 'newest row',
      expected: `at most ${limit.toISOString()}`,
      observed: newest?.toISOString() ?? 'no column tells',
      ok: !newest || newest.getTime() <= limit.getTime() + 1000,
    },
    check('pgvector', record ? (record.pgvector ?? 'none') : pgvector, pgvector),
  ]
}

/** @param expected the tables that count; there may be others */
export function checkRows(expected: Rows, observed: Rows): Check[] {
  return Object.entries(expected).map(([table, count]) =>
    check(`rows of ${table}`, String(count), String(observed[table] ?? 'no table')),
  )
}

/** A drill of a backup that is old proves that newer ones are missing. */
export function checkAge(stopped: Date, now: Date): Check {
  const hours = (now.getTime() - stopped.getTime()) / 3_600_000
  return {
    name: 'age of the backup',
    expected: `at most ${boxBackupHours} hours`,
    observed: `${hours.toFixed(1)} hours`,
    ok: hours <= boxBackupHours,
  }
}

/** @param differing files whose content on the Storage Box is another one than on the server */
export function checkCopy(differing: readonly string[]): Check {
  const some = `${differing.length} differ: ${differing.slice(0, 3).join(' ')}`
  return check(
    'every file on the box',
    'as on the server',
    differing.length === 0 ? 'as on the server' : some,
  )
}

/** Reads every row and every B-tree of a scratch database and looks for what cannot be. Source: PostgreSQL manual, pg_amcheck. */
export async function checkStructure(cluster: Cluster): Promise<Check> {
  const script = inside(cluster, [
    'pg_amcheck',
    '--install-missing',
    '--jobs=2',
    '--heapallindexed',
    '-d',
    database,
  ])
  const { code, stdout, stderr } = await cluster.host.probe(script, { timeout: 6 * 3600 })
  const said = (stdout.trim() || stderr.trim()).split('\n').slice(-5).join(' ')
  return check('pg_amcheck', 'nothing', code === 0 ? 'nothing' : said || `ended with ${code}`)
}

/** @param damage what `pageChecksums` found */
export function checkPages(damage: string): Check {
  return check(
    'page checksums',
    'all right',
    damage === '' ? 'all right' : damage.split('\n').slice(-3).join(' '),
  )
}

function check(name: string, expected: string, observed: string): Check {
  return { name, expected, observed, ok: expected === observed }
}

/** The checks for a person. */
export function checksText(checks: readonly Check[]): string {
  const rows = checks.map(({ name, expected, observed, ok }) => [ok ? 'ok' : 'NOT', name, expected, observed])
  return columns([['', 'CHECK', 'EXPECTED', 'OBSERVED'], ...rows])
}

/** @throws Fail `unverified` naming every check that does not hold */
export function refuseWrong(checks: readonly Check[]): void {
  const wrong = checks.filter((one) => !one.ok)
  if (wrong.length === 0) return
  const told = wrong.map(({ name, expected, observed }) => `  ${name}: expected ${expected}, is ${observed}`)
  throw new Fail('unverified', `what was restored is not as it should be:\n${told.join('\n')}`)
}
