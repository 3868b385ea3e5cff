import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { lastWatch, report, type Watch } from '../../ops/lib/alerting.ts'
import { keepSecret } from '../../ops/lib/redact.ts'
import { describe } from '../describe.ts'
import { Elsewhere, Keeper, Listener } from '../hosts.ts'

const file = '/var/backups/everyskill/shipping/watch.json'
const behind = (seconds: number) => `changes of the last ${seconds} s are on this server only (limit 120 s)`
const old = (hours: string) => `the last dump is ${hours} hours old (limit 26 h)`

describe('an alert', ({ test, beforeEach, afterEach }) => {
  let host: Keeper
  let server: Server
  let posted: string[] = []
  let status = 200

  beforeEach(async () => {
    host = new Keeper()
    posted = []
    status = 200
    server = createServer(async (request, answer) => {
      let body = ''
      for await (const part of request) body += part
      posted.push(`${request.method} ${body}`)
      answer.writeHead(status).end()
    })
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  })
  afterEach(() => {
    server.closeAllConnections()
    return new Promise((done) => server.close(done))
  })

  const url = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}/topic`
  const start = Date.parse('2026-11-22T10:00:00Z')
  /** A look so many minutes after the first. @returns what the address was told by it */
  async function look(
    minutes: number,
    problems: string[],
    to: string | undefined = url(),
    session = new Listener(),
  ) {
    const at = new Date(start + minutes * 60_000).toISOString()
    const before = posted.length
    const watch = await report(host, session, { at, problems }, to)
    assert.equal(
      await lastWatch(host),
      JSON.parse(JSON.stringify(watch)),
      'the next look reads what this one kept',
    )
    return { watch, told: posted.slice(before) }
  }
  const kept = () => JSON.parse(host.files.get(file) ?? '') as Watch

  test('is posted with every problem, and says whose they are', async () => {
    const { told, watch } = await look(0, [behind(130), old('27.1')])
    assert.equal(told, [`POST EverySkill backups on captor:\n${behind(130)}\n${old('27.1')}`])
    assert.equal(watch.told, { at: '2026-11-22T10:00:00.000Z', text: `${behind(130)}\n${old('27.1')}` })
    assert.is(watch.undelivered, undefined)
  })

  test('is not posted while all is well', async () => {
    for (const minutes of [0, 2, 1000]) assert.equal((await look(minutes, [])).told, [])
    assert.equal(kept().problems, [])
  })

  test('is not repeated for the same problem with other figures', async () => {
    await look(0, [behind(130), old('27.1')])
    assert.equal((await look(2, [behind(250), old('27.2')])).told, [])
    assert.equal((await look(700, [behind(42_000), old('38')])).told, [])
    assert.is(kept().told?.at, '2026-11-22T10:00:00.000Z')
    assert.equal(kept().problems, [behind(42_000), old('38')], 'what is kept is what was seen last')
  })

  test('is repeated after twelve hours, and then after twelve more', async () => {
    await look(0, [behind(130)])
    assert.is((await look(12 * 60, [behind(9)])).told.length, 0)
    assert.is((await look(12 * 60 + 1, [behind(9)])).told.length, 1)
    assert.is((await look(24 * 60, [behind(9)])).told.length, 0)
    assert.is((await look(24 * 60 + 2, [behind(9)])).told.length, 1)
  })

  test('tells at once when a problem joins or leaves', async () => {
    await look(0, [behind(130)])
    assert.is((await look(2, [behind(130), old('27')])).told.length, 1)
    assert.equal((await look(4, [old('27')])).told, [`POST EverySkill backups on captor:\n${old('27')}`])
  })

  test('tells of the end, once, and of the same problem when it is back', async () => {
    await look(0, [behind(130)])
    assert.equal((await look(2, [])).told, ['POST EverySkill backups on captor:\nall is well again'])
    assert.equal((await look(4, [])).told, [])
    assert.equal((await look(4000, [])).told, [])
    assert.is((await look(4002, [behind(130)])).told.length, 1)
  })

  test('that an error answers is not delivered: it is kept, and tried again at the next look until it is', async () => {
    status = 500
    const { watch } = await look(0, [behind(130)])
    assert.equal([watch.undelivered, watch.told], ['the alert address answered 500', undefined])
    assert.is((await look(2, [behind(250)])).told.length, 1)
    status = 200
    const delivered = await look(4, [behind(370)])
    assert.equal([delivered.told.length, delivered.watch.undelivered], [1, undefined])
    assert.is(delivered.watch.told?.text, behind(370))
    assert.is((await look(6, [behind(490)])).told.length, 0)
  })

  test('that nobody answers is not delivered', async () => {
    const dead = url()
    await new Promise((done) => server.close(done))
    const { watch } = await look(0, [behind(130)], dead)
    assert.match(watch.undelivered ?? '', /^the alert address does not answer: .*ECONNREFUSED/)
    assert.is(watch.told, undefined)
    server.listen(0, '127.0.0.1')
    await new Promise((done) => server.once('listening', done))
    assert.is((await look(2, [behind(250)])).told.length, 1)
  })

  test('shows no secret, neither in its body nor in why it was not delivered', async () => {
    keepSecret('ALERT_TOKEN', 'tk-4711-canary')
    const { told } = await look(0, ['the Storage Box does not answer: tk-4711-canary'])
    assert.match(told[0] ?? '', /does not answer: \[ALERT_TOKEN\]$/)
    const { watch } = await look(2, [behind(1)], 'http://tk-4711-canary.invalid/')
    assert.match(watch.undelivered ?? '', /does not answer: .*\[ALERT_TOKEN\]/)
    assert.not.match(watch.undelivered ?? '', /4711/)
  })

  test('needs an address: without one, problems are only kept', async () => {
    const { watch } = await look(0, [behind(130)], '')
    assert.equal([watch.told, watch.undelivered, kept().problems], [undefined, undefined, [behind(130)]])
  })

  test('is neither posted nor kept by a dry run', async () => {
    const session = new Listener(true)
    const dir = mkdtempSync(join(tmpdir(), 'alert-'))
    const dry = new Elsewhere(dir, session)
    await report(dry, session, { at: new Date(start).toISOString(), problems: [behind(130)] }, url())
    assert.equal(posted, [])
    assert.not.ok(existsSync(dry.at(file)))
    assert.is(await lastWatch(dry), undefined)
    rmSync(dir, { recursive: true })
  })
})
