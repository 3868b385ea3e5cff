import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { type AuditEntry, audit, operator } from '../../ops/lib/audit.ts'
import { Host } from '../../ops/lib/host.ts'
import { keepSecret } from '../../ops/lib/redact.ts'
import { Session } from '../../ops/lib/session.ts'
import { describe } from '../describe.ts'

const entry: AuditEntry = { action: 'deploy', outcome: 'done', seconds: 1.5, about: { sha: 'abc' } }

type Line = AuditEntry & { seq: number; prev: string; at: string; who: string }

/** Checks number and hash of each line; answers with the lines. */
function verified(log: string): Line[] {
  const lines = readFileSync(log, 'utf8').split('\n').slice(0, -1)
  return lines.map((text, i) => {
    const line = JSON.parse(text) as Line
    const before = i === 0 ? '' : `${lines[i - 1]}\n`
    const prev = createHash('sha256').update(before).digest('hex')
    if (line.seq !== i + 1 || line.prev !== prev) throw new Error(`line ${i + 1} breaks the chain`)
    return line
  })
}

describe('audit', ({ test, before, after }) => {
  let dir = ''
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'audit-test-'))
  })
  after(() => rmSync(dir, { recursive: true, force: true }))
  const host = (dryRun = false) => new Host('local', [], new Session({ dryRun, quiet: true }))

  test('each line says what, who, when, and chains to the one before', async () => {
    const log = join(dir, 'new folder/audit.log')
    const outcome = `it's "100 %" \\n $HOME \`id\`\nsecond line ä`
    await audit(host(), entry, log)
    await audit(host(), { ...entry, outcome }, log)
    const [first, second] = verified(log)
    assert.is(first?.who, operator())
    assert.match(first?.at ?? '', /^20\d\d-\d\d-\d\dT\S+Z$/)
    assert.equal([first?.action, first?.seconds, first?.about], ['deploy', 1.5, { sha: 'abc' }])
    assert.is(second?.outcome, outcome)
    assert.is(statSync(log).mode & 0o777, 0o600)
  })

  test('twenty at once keep the chain', async () => {
    const log = join(dir, 'many.log')
    const actions = Array.from({ length: 20 }, (_, i) => `deploy ${i}`)
    await Promise.all(actions.map((action) => audit(host(), { ...entry, action }, log)))
    const lines = verified(log)
    assert.equal(lines.map((line) => line.action).sort(), actions.sort())
  })

  test('holds no secret, whatever the error said', async () => {
    const log = join(dir, 'secret.log')
    keepSecret('DB_PASSWORD', 'audit-secret-0815')
    await audit(
      host(),
      { ...entry, outcome: 'psql: audit-secret-0815', about: { url: 'x:audit-secret-0815@db' } },
      log,
    )
    const [line] = verified(log)
    assert.is(line?.outcome, 'psql: [DB_PASSWORD]')
    assert.equal(line?.about, { url: 'x:[DB_PASSWORD]@db' })
  })

  test('a line that was edited, removed or moved is found', async () => {
    const log = join(dir, 'forged.log')
    for (const action of ['a', 'b', 'c']) await audit(host(), { ...entry, action }, log)
    const [a = '', b = '', c = ''] = readFileSync(log, 'utf8').split('\n')
    for (const forged of [
      [a.replace('done', 'well'), b, c],
      [a, c],
      [b, a, c],
    ]) {
      writeFileSync(log, `${forged.join('\n')}\n`)
      assert.throws(() => verified(log), /line \d breaks the chain/)
    }
  })

  test('a dry run writes nothing', async () => {
    const log = join(dir, 'dry.log')
    const write = process.stdout.write
    process.stdout.write = () => true
    await audit(host(true), entry, log)
    process.stdout.write = write
    assert.not.ok(existsSync(log))
  })
})
