/** Records in a folder of this machine, with ssh-keygen and git; no lab, but programs by the dozen. */
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { beginRecord, type DrillRecord, lastPassed } from '../../ops/lib/evidence.ts'
import { evidenced, type Findings } from '../../ops/lib/evidenced.ts'
import { Fail } from '../../ops/lib/fail.ts'
import { keepSecret } from '../../ops/lib/redact.ts'
import type { Signing } from '../../ops/lib/signing.ts'
import { describe, rejects } from '../describe.ts'
import { Elsewhere, Listener } from '../hosts.ts'

const good = { name: 'rows of a', expected: '3', observed: '3', ok: true }
const bad = { name: 'rows of b', expected: '3', observed: '2', ok: false }
const unsigned: Signing = { envFile: '.env', key: undefined }

describe('the evidence of a drill', ({ test, before, after, beforeEach, afterEach }) => {
  let base = ''
  let host: Elsewhere
  let session: Listener

  before(() => {
    base = mkdtempSync(join(tmpdir(), 'evidence-'))
  })
  after(() => rmSync(base, { recursive: true, force: true }))
  beforeEach(() => {
    session = new Listener()
    host = new Elsewhere(mkdtempSync(join(base, 'one-')), session)
  })
  afterEach(() => session.end())

  const folder = () => host.at('/opt/everyskill/evidence/drills')
  const read = (name: string) => readFileSync(join(folder(), name), 'utf8')
  const record = (seq: number) => JSON.parse(read(`00000${seq}.json`)) as DrillRecord
  const hash = (text: string) => createHash('sha256').update(text).digest('hex')
  const drill = (
    work: (found: Findings) => Promise<void> = async (found) => {
      found.checks = [good]
    },
    { signing = unsigned, minute = 0 } = {},
  ) => evidenced(host, session, 'restore_drill', signing, new Date(Date.UTC(2026, 10, 22, 10, minute)), work)

  test('has its number before the work begins, so that a drill that died is a number without an end', async () => {
    await drill(async (found) => {
      assert.match(read('000001.started'), /^2026-11-22T10:00:00\.000Z \S+@\S+\n$/)
      assert.not.ok(existsSync(join(folder(), '000001.json')))
      found.checks = [good]
    })
    assert.is(record(1).result, 'pass')
    assert.is(await beginRecord(host, new Date()), 2)
    assert.is(await beginRecord(host, new Date()), 3, 'a drill that died keeps its number')
  })

  test('is the fields that an auditor asks for', async () => {
    const made = await drill(async (found) => {
      Object.assign(found, { inputs: { backup: 'x' }, checks: [good], rpo_seconds: 7 })
    })
    const kept = record(1)
    assert.equal(kept, JSON.parse(JSON.stringify(made)))
    assert.equal([kept.schema_version, kept.seq, kept.type, kept.prev_sha256], [1, 1, 'restore_drill', null])
    assert.equal([kept.result, kept.error, kept.checks, kept.inputs], ['pass', null, [good], { backup: 'x' }])
    assert.equal([kept.rpo_seconds, kept.started_at], [7, '2026-11-22T10:00:00.000Z'])
    const seconds = (Date.parse(kept.ended_at) - Date.parse(kept.started_at)) / 1000
    assert.is(kept.rto_seconds, Math.round(seconds * 10) / 10)
    assert.match(kept.tool.commit, /^[0-9a-f]{40}|unknown/)
    assert.match(kept.actor.human, /^\S+@\S+$/)
    assert.ok(kept.environment.hostname.length > 0 && kept.environment.machine_id.length > 0)
  })

  test('holds the hash of the raw output beside it', async () => {
    await drill()
    assert.match(read('000001.log'), /rows of a +3 +3/)
    assert.is(record(1).raw_output_sha256, hash(read('000001.log')))
  })

  test('is a chain: each record holds the hash of the one before, also past a drill that died', async () => {
    await drill()
    await drill()
    assert.is(record(2).prev_sha256, hash(read('000001.json')))
    await beginRecord(host, new Date())
    await drill()
    assert.is(record(4).prev_sha256, hash(read('000002.json')))
  })

  test('is written when the work fails, and the failure goes on', async () => {
    const why = new Fail('refused', 'no room on the disk')
    const thrown = await drill(() => Promise.reject(why)).catch((error: unknown) => error)
    assert.is(thrown, why)
    assert.equal([record(1).result, record(1).error], ['fail', 'no room on the disk'])
    assert.match(read('000001.log'), /no room on the disk/)
  })

  test('says fail when a check does not hold, and so does the drill', async () => {
    const work = async (found: Findings) => {
      found.checks = [good, bad]
    }
    const thrown = (await drill(work).catch((error: unknown) => error)) as Fail
    assert.ok(thrown instanceof Fail)
    assert.is(thrown.exitCode, 6)
    assert.match(thrown.message, /rows of b: expected 3, is 2/)
    assert.not.match(thrown.message, /rows of a/)
    assert.equal([record(1).result, record(1).error], ['fail', null])
  })

  test('shows no secret', async () => {
    keepSecret('A_SECRET', 'evidence-4711-canary')
    await rejects(() => drill(() => Promise.reject(new Error('evidence-4711-canary'))), /./)
    for (const name of readdirSync(folder())) assert.not.match(read(name), /4711/)
    assert.is(record(1).error, '[A_SECRET]')
  })

  test('is signed with the key of EVIDENCE_KEY, as ssh-keygen verifies it; altered, it is not', async () => {
    const dir = mkdtempSync(join(base, 'key-'))
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', join(dir, 'key')])
    await drill(undefined, { signing: { envFile: join(dir, '.env'), key: 'key' } })
    writeFileSync(join(dir, 'allowed'), `auditor ${readFileSync(join(dir, 'key.pub'), 'utf8')}`)
    const verify = (input: string) =>
      spawnSync(
        'ssh-keygen',
        [
          '-Y',
          'verify',
          '-n',
          'everyskill-evidence',
          '-f',
          join(dir, 'allowed'),
          '-I',
          'auditor',
          '-s',
          join(folder(), '000001.json.sig'),
        ],
        { input },
      ).status
    assert.is(verify(read('000001.json')), 0)
    assert.not.equal(verify(read('000001.json').replace('"pass"', '"fail"')), 0)
    await drill()
    assert.ok(session.said.some((line) => /not signed/.test(line)))
  })

  test('cannot be read by others, nor changed by its owner without meaning to', async () => {
    await drill()
    for (const name of readdirSync(folder()))
      assert.match(
        execFileSync('stat', ['-c', '%a', join(folder(), name)], { encoding: 'utf8' }),
        /^[46]00\n$/,
        name,
      )
  })

  test('tells when the last drill that passed began, and of none where none did', async () => {
    assert.is(await lastPassed(host, 'restore_drill'), undefined)
    await rejects(() => drill(() => Promise.reject(new Error('broke'))), /broke/)
    assert.is(await lastPassed(host, 'restore_drill'), undefined)
    await drill(undefined, { minute: 5 })
    await drill(undefined, { minute: 9 })
    await rejects(() => drill(() => Promise.reject(new Error('broke')), { minute: 12 }), /broke/)
    assert.equal(await lastPassed(host, 'restore_drill'), new Date('2026-11-22T10:09:00.000Z'))
  })

  test('is not made by a dry run', async () => {
    const dry = new Listener(true)
    const server = new Elsewhere(host.dir, dry)
    const made = await evidenced(server, dry, 'restore_drill', unsigned, new Date(), async () => {})
    assert.is(made, undefined)
    assert.not.ok(existsSync(folder()))
  })
})
