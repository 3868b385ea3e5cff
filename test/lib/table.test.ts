import * as assert from 'uvu/assert'
import { liveCluster } from '../../ops/lib/database.ts'
import { Fail } from '../../ops/lib/fail.ts'
import { scratchDatabase } from '../../ops/lib/recovery.ts'
import { bringTable, quoted, refuseDead, sideSchema, tableName } from '../../ops/lib/table.ts'
import { parses } from '../bash.ts'
import { describe, rejects } from '../describe.ts'
import { Captor, Listener } from '../hosts.ts'

describe('the name of a table', ({ test }) => {
  test('is in public unless it says where', () => {
    assert.equal(tableName('documents'), { schema: 'public', table: 'documents' })
    const other = { schema: 'drizzle', table: '__drizzle_migrations' }
    assert.equal(tableName('drizzle.__drizzle_migrations'), other)
  })

  test('is quoted as in SQL where it is no plain one', () => {
    for (const [text, sql] of [
      ['"userAccounts"', 'public."userAccounts"'],
      ['"My schema"."my table"', '"My schema"."my table"'],
      ['drizzle."Log"', 'drizzle."Log"'],
      ['"documents"', 'public.documents'],
    ] as const)
      assert.is(quoted(tableName(text)), sql)
  })

  test('holds nothing else that SQL would read', () => {
    for (const text of [
      '',
      '.',
      'a.',
      '.a',
      'a.b.c',
      'A',
      '1a',
      'a-b',
      'a b',
      'a;drop table b',
      "a'",
      '"a',
      'a"',
      '"a""b"',
      `"a'b"`,
      '"a\\b"',
      '"a*"',
      '""',
      'a\n',
    ]) {
      try {
        tableName(text)
        assert.unreachable(text)
      } catch (error) {
        assert.ok(error instanceof Fail, text)
        assert.is((error as Fail).exitCode, 2)
      }
    }
  })
})

describe('a table that comes back', ({ test }) => {
  const at = new Date('2026-11-22T20:53:10.500Z')
  const into = sideSchema(at)

  /** Two databases that are asked through one host; what is asked in the scratch one names its container. */
  const bring = async (
    facts: { found?: string; taken?: string; there?: string; here?: string; fails?: boolean } = {},
  ) => {
    const { found = 't', taken = 'f', there = '3', here = '3', fails = false } = facts
    const host = new Captor((script, sql) => {
      const scratch = script.includes('everyskill-scratch')
      if (/^select to_regclass/.test(sql)) return sql.includes('restored_') ? taken : found
      if (script.includes('pg_restore') && fails) return { code: 1, stdout: '', stderr: 'no room' }
      if (sql.startsWith('select count(*)')) return scratch ? there : here
      return ''
    })
    const table = { schema: 'public', table: 'documents' }
    const rows = bringTable(scratchDatabase(host), liveCluster(host), new Listener(), table, into)
    return { rows: await rows.catch((error: Error) => error), host }
  }
  const changed = (host: Captor) =>
    [...host.scripts, ...host.inputs].filter((one) => /create schema|pg_restore/.test(one))

  test('goes into a schema of its own, named after the moment, that a person can type', () => {
    assert.is(into, 'restored_20261122t205310z')
    assert.match(into, /^[a-z_0-9]{1,63}$/)
  })

  test('is copied from one database to the other, all of it or nothing, and counted on both sides', async () => {
    const { rows, host } = await bring()
    assert.is(rows, 3)
    parses(...host.scripts)
    const [copy = ''] = host.scripts.filter((script) => script.includes('pg_restore'))
    assert.match(copy, /postgres='everyskill-scratch'\nfrom=\$postgres\npostgres=\$\(docker ps/)
    assert.match(
      copy,
      /docker exec -u postgres "\$from" 'pg_dump' .*'--table=restored_20261122t205310z\.documents'/,
    )
    assert.match(
      copy,
      /\| docker exec -i -u postgres "\$postgres" 'pg_restore' '--exit-on-error' '--single-transaction'/,
    )
    assert.not.match(host.inputs.join('\n'), /drop table|delete|truncate/i)
  })

  test('loses its foreign keys in the scratch database only, before it is copied', async () => {
    const { host } = await bring()
    const at = host.inputs.findIndex((sql) => sql.includes('drop constraint'))
    assert.match(host.scripts[at] ?? '', /everyskill-scratch/)
    assert.ok(at < host.scripts.findIndex((script) => script.includes('pg_restore')))
    const live = host.inputs.filter((_, i) => !host.scripts[i]?.includes('everyskill-scratch'))
    assert.not.match(live.join('\n'), /alter/)
  })

  test('leaves no empty schema when it could not be copied, and says why it could not', async () => {
    const { rows, host } = await bring({ fails: true })
    assert.ok(rows instanceof Fail)
    assert.match((rows as Fail).message, /no room/)
    assert.match(host.inputs.at(-1) ?? '', /drop schema restored_\w+' where not exists/)
    assert.not.match(host.scripts.at(-1) ?? '', /everyskill-scratch/)
  })

  test('is refused when it was not there, or is there already; nothing was changed then', async () => {
    for (const facts of [{ found: 'f' }, { taken: 't' }]) {
      const { rows, host } = await bring(facts)
      assert.ok(rows instanceof Fail)
      assert.is((rows as Fail).exitCode, 3)
      assert.equal(changed(host), [])
    }
  })

  test('is not taken as good when a row is missing', async () => {
    const { rows } = await bring({ here: '2' })
    assert.ok(rows instanceof Fail)
    assert.is((rows as Fail).exitCode, 6)
    assert.match((rows as Fail).message, /documents has 2 rows here, and 3 in the backup/)
  })

  test('needs a live database that answers', async () => {
    const dead = new Captor(() => ({ code: 2, stdout: '', stderr: '' }))
    await rejects(() => refuseDead(liveCluster(dead)), /the live database does not answer: --in-place/)
    const live = new Captor()
    await refuseDead(liveCluster(live))
  })
})
