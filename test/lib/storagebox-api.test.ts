/** The client against the lab's own fake of the API; a scripted one says what that never says. */
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import { readEnv } from '../../ops/lib/env.ts'
import { Fail, type Outcome } from '../../ops/lib/fail.ts'
import { act } from '../../ops/lib/hetzner-action.ts'
import { ask } from '../../ops/lib/hetzner-api.ts'
import { Session } from '../../ops/lib/session.ts'
import { boxSnapshots, rollBack } from '../../ops/lib/snapshots.ts'
import { apiNames, type BoxApi, boxApi, findBox, protectBox } from '../../ops/lib/storagebox-api.ts'
import { describe, rejects } from '../describe.ts'
import { serveApi } from '../lab/images/hetzner/api.ts'
import { Servers } from '../lab/images/hetzner/servers.ts'
import { StorageBox } from '../lab/images/hetzner/storagebox.ts'
import { Zone } from '../lab/images/hetzner/zone.ts'
import { takeSnapshot } from '../lab/snapshots.ts'

const token = 'h'.repeat(64)
const dnsToken = 'd'.repeat(64)
const nightly = { hour: 2, minute: 40, maxSnapshots: 10 }

describe('the Storage Box API', ({ test, before, after, beforeEach, afterEach }) => {
  let dir = ''
  let content = ''
  let snapshots = ''
  let fake: Server
  let asked: string[] = []
  let said: string[] = []

  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'box-api-'))
    const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
    const out = ['-keyout', join(dir, 'key'), '-out', join(dir, 'cert')]
    const names = ['-subj', '/CN=test', '-addext', 'subjectAltName=IP:127.0.0.1']
    execFileSync('openssl', ['req', '-x509', ...ec, ...names, ...out], { stdio: 'ignore' })
  })
  after(() => rmSync(dir, { recursive: true, force: true }))

  beforeEach(async () => {
    content = mkdtempSync(join(dir, 'content-'))
    snapshots = mkdtempSync(join(dir, 'snapshots-'))
    asked = []
    said = []
    fake = await fakeApi()
  })
  afterEach(() => close(fake))

  const tls = () => ({ cert: readFileSync(join(dir, 'cert')), key: readFileSync(join(dir, 'key')) })
  const fakeApi = (pause: () => Promise<unknown> = () => sleep(5)) => {
    const box = new StorageBox({ account: 'u1', content, snapshots, pause })
    const tokens = { dns: () => dnsToken, hcloud: () => token }
    const servers = new Servers({ name: 'everyskill', address: '192.0.2.1', power: dir, pause })
    const project = { zone: new Zone('everyskill.test'), box, servers, tokens, ...tls() }
    const server = serveApi(project, 0)
    return listening(server)
  }
  const listening = (server: Server): Promise<Server> => {
    server.on('request', ({ method, url }) => asked.push(`${method} ${url}`))
    return new Promise((done) => server.once('listening', () => done(server)))
  }
  const close = (server: Server) => {
    server.closeAllConnections()
    return new Promise((done) => server.close(done))
  }
  const posts = () => asked.filter((call) => call.startsWith('POST'))

  const envFile = (server: Server, more = '') => {
    const file = join(mkdtempSync(join(dir, 'env-')), '.env')
    const { port } = server.address() as AddressInfo
    const lines = [`HETZNER_API=https://127.0.0.1:${port}/v1/`, 'STORAGEBOX_USER=u1-sub1', more]
    writeFileSync(file, `${lines.join('\n')}\n`, { mode: 0o600 })
    return file
  }
  const apiOf = (
    server = fake,
    { dryRun = false, ...over } = {} as Partial<BoxApi> & { dryRun?: boolean },
  ) => {
    const file = envFile(server, `HCLOUD_TOKEN=${token}\nTRUSTED_ROOT=../cert`)
    const session = new Session({ dryRun, quiet: true })
    session.say = (line) => said.push(line)
    session.wouldRun = (where, command) => said.push(`[${where}] ${command}`)
    const api = boxApi(file, readEnv(file, apiNames), session)
    assert.ok(api)
    return { ...(api as BoxApi), pace: 0.05, ...over }
  }

  /** Every failure names its outcome, and no token. */
  const fails = async (work: Promise<unknown>, outcome: Outcome, ...words: RegExp[]) => {
    const error = await rejects(() => work, /./)
    assert.ok(error instanceof Fail, error.stack)
    assert.is((error as Fail).outcome, outcome, error.message)
    for (const word of words) assert.match(error.message, word)
    assert.not.match(error.message, /h{20}|d{20}|x{20}/)
  }

  type Scripted = { status: number; body?: unknown } | 'drop' | 'wait'
  /** Answers in turn, the last one for ever. */
  const scripted = async (...script: Scripted[]) => {
    const server = createServer(tls(), (request, response) => {
      const now = script.length > 1 ? script.shift() : script[0]
      request.resume()
      if (now === 'drop') request.socket.destroy()
      if (typeof now === 'object')
        response.writeHead(now.status).end(typeof now.body === 'string' ? now.body : JSON.stringify(now.body))
    })
    return listening(server.listen(0))
  }
  /** Runs work against an API that says just that. */
  const against = async (script: Scripted[], work: (api: BoxApi) => Promise<unknown>) => {
    asked = []
    const server = await scripted(...script)
    try {
      await work(apiOf(server))
    } finally {
      await close(server)
    }
  }
  const problem = (status: number, code: string): Scripted => ({
    status,
    body: { error: { code, message: 'so it is' } },
  })
  const boxes = (usernames: (string | null)[], next_page: number | null = null): Scripted => {
    const storage_boxes = usernames.map((username, id) => ({
      ...{ id: id + 1, name: `box-${id + 1}`, username },
      ...{ protection: { delete: true }, snapshot_plan: null },
    }))
    return { status: 200, body: { storage_boxes, meta: { pagination: { next_page } } } }
  }
  const action = (status: string, error: unknown = null): Scripted => ({
    status: 201,
    body: { action: { id: 7, status, error } },
  })

  test('is there with a token only, for the main account, with the root that the .env trusts', () => {
    const session = new Session({ dryRun: false, quiet: true })
    const of = (more: string) => {
      const file = envFile(fake, more)
      return boxApi(file, readEnv(file, apiNames), session)
    }
    assert.is(of('TRUSTED_ROOT=nowhere.pem'), undefined)
    assert.throws(
      () => of(`HCLOUD_TOKEN=${token}\nTRUSTED_ROOT=nowhere.pem`),
      /TRUSTED_ROOT names .*nowhere\.pem/,
    )
    const api = of(`HCLOUD_TOKEN=${token}`)
    assert.equal([api?.account, api?.ca, api?.limit], ['u1', undefined, 30_000])
    assert.match(api?.url ?? '', /\/v1$/)
    assert.is(of(`HCLOUD_TOKEN=${token}\nSTORAGEBOX_ADMIN_USER=u9`)?.account, 'u9')
    assert.is(apiOf().ca, readFileSync(join(dir, 'cert'), 'utf8'))
  })

  test('sets the plan and the protection, and a second time nothing', async () => {
    const api = apiOf()
    const { plan, deleteProtected, id } = await findBox(api)
    assert.equal([plan, deleteProtected], [undefined, false])
    assert.equal(await protectBox(api, nightly), ['snapshot plan', 'delete protection'])
    assert.equal(await findBox(api), { id, plan: { ...nightly, daily: true }, deleteProtected: true })
    asked = []
    assert.equal(await protectBox(api, nightly), [])
    assert.equal(posts(), [])
    assert.is(asked.length, 1)
  })

  test('changes only what is not so', async () => {
    const api = apiOf()
    await protectBox(api, nightly)
    for (const plan of [
      { ...nightly, hour: 3 },
      { ...nightly, hour: 3, minute: 0 },
      { ...nightly, hour: 3, minute: 0, maxSnapshots: 7 },
      nightly,
    ]) {
      assert.equal(await protectBox(api, plan), ['snapshot plan'])
      assert.equal((await findBox(api)).plan, { ...plan, daily: true })
    }
    const { id } = await findBox(api)
    await act(api, `/storage_boxes/${id}/actions/change_protection`, { delete: false })
    assert.equal(await protectBox(api, nightly), ['delete protection'])
    const weekly = { max_snapshots: 10, hour: 2, minute: 40, day_of_week: 5 }
    await act(api, `/storage_boxes/${id}/actions/enable_snapshot_plan`, weekly)
    assert.is((await findBox(api)).plan?.daily, false)
    assert.equal(await protectBox(api, nightly), ['snapshot plan'])
    assert.is((await findBox(api)).plan?.daily, true)
    await act(api, `/storage_boxes/${id}/actions/disable_snapshot_plan`, {})
    assert.is((await findBox(api)).plan, undefined)
  })

  test('a plan that the box cannot have is refused with the reason', async () => {
    const refused = protectBox(apiOf(), { ...nightly, maxSnapshots: 5000 })
    await fails(refused, 'failed', /POST .*enable_snapshot_plan: 422 invalid_input: max_snapshots/)
  })

  test('a dry run prints what it would change and changes nothing', async () => {
    writeFileSync(join(content, 'file'), 'kept')
    const name = await takeSnapshot(apiOf())
    writeFileSync(join(content, 'file'), 'changed')
    asked = []
    const dry = apiOf(fake, { dryRun: true })
    assert.equal(await protectBox(dry, nightly), ['snapshot plan', 'delete protection'])
    await rollBack(dry, name)
    assert.equal(posts(), [])
    assert.is(said.length, 3)
    const [plan = '', protection = '', rollback = ''] = said
    assert.match(
      plan,
      /^\[127\.0\.0\.1:\d+\] POST \/storage_boxes\/\d+\/actions\/enable_snapshot_plan \{"max_snapshots":10,/,
    )
    assert.match(protection, /change_protection \{"delete":true\}$/)
    assert.ok(rollback.endsWith(`/actions/rollback_snapshot {"snapshot":"${name}"}`), rollback)
    assert.is((await findBox(dry)).plan, undefined)
    assert.is(readFileSync(join(content, 'file'), 'utf8'), 'changed')
  })

  test('a snapshot holds what was there; a rollback puts it back and drops what is newer', async () => {
    const api = apiOf()
    const home = join(content, 'everyskill')
    const at = (...parts: string[]) => join(home, ...parts)
    mkdirSync(at('backups', 'one'), { recursive: true })
    chmodSync(home, 0o700)
    writeFileSync(at('backups', 'one', 'dump'), 'good', { mode: 0o440 })
    utimesSync(at('backups', 'one', 'dump'), 1_700_000_000, 1_700_000_000)
    writeFileSync(at('changed'), 'before')
    symlinkSync('changed', at('link'))
    const folders = [content, home, at('backups')]
    const inodes = () => folders.map((path) => statSync(path).ino)
    const old = inodes()
    // A number is not given to another folder while the one that had it is open.
    const open = folders.map((path) => openSync(path, 'r'))
    const first = await takeSnapshot(api)
    const second = await takeSnapshot(api)
    rmSync(at('backups', 'one'), { recursive: true })
    writeFileSync(at('backups', 'one'), 'a file where a folder was')
    rmSync(at('link'))
    mkdirSync(at('link'))
    writeFileSync(at('link', 'inside'), '')
    writeFileSync(at('changed'), 'encrypted')
    writeFileSync(at('ransom'), 'pay')
    chmodSync(home, 0o755)
    const third = await takeSnapshot(api)
    assert.equal(
      (await boxSnapshots(api)).map(({ name, automatic }) => [name, automatic]),
      [third, second, first].map((name) => [name, true]),
    )
    const copies = () => readdirSync(snapshots).filter((name) => name !== 'state.json')
    assert.is(copies().length, 3)

    await rollBack(api, second)
    assert.equal(
      (await boxSnapshots(api)).map(({ name }) => name),
      [second, first],
    )
    assert.is(copies().length, 2)
    assert.equal(readdirSync(home).sort(), ['backups', 'changed', 'link'])
    assert.is(readFileSync(at('link'), 'utf8'), 'before')
    const dump = statSync(at('backups', 'one', 'dump'))
    assert.equal([dump.mode & 0o777, dump.mtimeMs], [0o440, 1_700_000_000_000])
    assert.is(statSync(home).mode & 0o777, 0o700)
    assert.equal(inodes(), old)
    for (const file of open) closeSync(file)
  })

  test('snapshots, plan and protection outlive the program that serves them', async () => {
    await protectBox(apiOf(), nightly)
    const name = await takeSnapshot(apiOf())
    await close(fake)
    fake = await fakeApi()
    assert.equal(
      (await boxSnapshots(apiOf())).map((one) => one.name),
      [name],
    )
    assert.equal(await protectBox(apiOf(), nightly), [])
    assert.is.not(await takeSnapshot(apiOf()), name)
  })

  test('an unknown snapshot is refused with the names that there are', async () => {
    await fails(rollBack(apiOf(), 'monday'), 'refused', /u1 has no snapshot monday; it has none/)
    const name = await takeSnapshot(apiOf())
    asked = []
    await fails(rollBack(apiOf(), 'monday'), 'refused', RegExp(`it has ${name}$`))
    assert.equal(posts(), [])
  })

  test('a wrong token is refused, and a DNS token opens no Storage Box, nor the other way round', async () => {
    await fails(
      findBox(apiOf(fake, { token: 'x'.repeat(64) })),
      'refused',
      /GET .*: 401 unauthorized: .*HCLOUD_TOKEN is wrong/,
    )
    await fails(findBox(apiOf(fake, { token: dnsToken })), 'refused', /401/)
    const zones = (key: string) =>
      ask(apiOf(fake, { token: key }), 'GET', '/zones', v.object({ zones: v.array(v.unknown()) }))
    await fails(zones(token), 'refused', /401/)
    assert.is((await zones(dnsToken)).zones.length, 1)
  })

  test('a token that may only read is told from a wrong one', async () => {
    for (const status of [401, 403]) {
      const readonly = problem(status, 'token_readonly')
      await against([boxes(['u1']), readonly], (api) =>
        fails(
          protectBox(api, nightly),
          'refused',
          /token_readonly: so it is\..*may only read: .*Read & Write/,
        ),
      )
    }
  })

  test('a box of another project is not found: the account and what the token sees are named', async () => {
    await fails(
      findBox(apiOf(fake, { account: 'u2' })),
      'refused',
      /Storage Box u2; it holds u1 \(everyskill-backups\)\. Check STORAGEBOX_ADMIN_USER/,
    )
    await against([boxes([])], (api) => fails(findBox(api), 'refused', /u1; it holds none\./))
  })

  test('a box is found on a later page; one that is still made has no account', async () => {
    await against([boxes(['u7', null], 2), boxes(['u8', 'u1'])], async (api) => {
      assert.is((await findBox(api)).id, 2)
      assert.equal(
        asked.map((call) => /page=\d/.exec(call)?.[0]),
        ['page=1', 'page=2'],
      )
    })
    await against([boxes(['u7', null])], (api) =>
      fails(findBox(api), 'refused', /u7 \(box-1\), one without an account yet \(box-2\)/),
    )
  })

  test('waits while another action runs', async () => {
    await close(fake)
    const refused = async () => {
      while (said.length === 0) await sleep(1)
    }
    fake = await fakeApi(refused)
    const api = apiOf(fake, { pace: 3 })
    const snapshot = takeSnapshot(api)
    while (posts().length === 0) await sleep(1)
    assert.equal(await protectBox(api, nightly), ['snapshot plan', 'delete protection'])
    await snapshot
    assert.match(said.join('\n'), /^POST .*enable_snapshot_plan: 423 locked: .*; trying again$/)
    assert.is((await findBox(api)).plan?.daily, true)
  })

  test('asks again when the API is busy, and not for ever', async () => {
    const busy: Scripted[] = [
      problem(409, 'conflict'),
      problem(429, 'rate_limit_exceeded'),
      { status: 502, body: '<html>' },
      problem(504, 'timeout'),
    ]
    await against([...busy, boxes(['u1'])], async (api) => {
      assert.is((await findBox(api)).id, 1)
      assert.is(asked.length, 5)
    })
    await against([problem(423, 'locked')], async (api) => {
      await fails(findBox(api), 'locked', /423 locked: so it is\. Another action runs/)
      assert.is(asked.length, 13)
    })
    await against([{ status: 502, body: '' }], (api) =>
      fails(findBox(api), 'failed', /502 without a reason\. Try again/),
    )
  })

  test('sends nothing again that a gateway may have passed on', async () => {
    await against([boxes(['u1']), problem(504, 'timeout'), boxes(['u1'])], async (api) => {
      await fails(
        takeSnapshot(api),
        'failed',
        /504 timeout: .*It may have begun over there\. Try again later/,
      )
      assert.is(posts().length, 1)
    })
  })

  test('asks once when asking again is no use', async () => {
    for (const [status, code] of [
      [423, 'protected'],
      [409, 'uniqueness_error'],
      [404, 'not_found'],
      [500, 'server_error'],
    ] as const) {
      await against([problem(status, code)], async (api) => {
        await fails(findBox(api), 'failed', RegExp(`${status} ${code}: so it is\\. \\w`))
        assert.is(asked.length, 1)
      })
    }
  })

  test('an answer that is not of this API is an error, not an empty project', async () => {
    for (const body of ['<html>', '[]', { storage_boxes: [] }]) {
      await against([{ status: 200, body }], (api) =>
        fails(findBox(api), 'failed', /not this API's\. Check HETZNER_API/),
      )
    }
  })

  test('an action that ends with an error is a failure', async () => {
    const api = apiOf()
    writeFileSync(join(content, 'file'), 'still here')
    const name = await takeSnapshot(api)
    for (const copy of readdirSync(snapshots)) rmSync(join(snapshots, copy), { recursive: true })
    await fails(
      rollBack(api, name),
      'failed',
      /rollback_snapshot: the action ended with action_failed: Action failed/,
    )
    assert.ok(existsSync(join(content, 'file')))
  })

  test('an action is judged by its status alone', async () => {
    const error = { code: 'action_failed', message: 'an example of the documentation' }
    await against([action('running', error), action('success', error)], (api) =>
      act(api, '/storage_boxes/1/actions/x', {}),
    )
    assert.equal(asked, ['POST /v1/storage_boxes/1/actions/x', 'GET /v1/storage_boxes/actions/7'])
    await against([action('error')], (api) =>
      fails(act(api, '/storage_boxes/1/actions/x', {}), 'failed', /ended with error/),
    )
  })

  test('a connection that is lost while an action runs does not lose the action', async () => {
    await against([action('running'), 'drop', 'drop', action('success')], (api) =>
      act(api, '/storage_boxes/1/actions/x', {}),
    )
    assert.is(asked.length, 4)
    await against([action('running'), 'drop'], (api) =>
      fails(act(api, '/storage_boxes/1/actions/x', {}), 'noConnection'),
    )
  })

  test('no connection is told as that, whatever is in the way', async () => {
    const api = apiOf()
    await fails(findBox({ ...api, ca: undefined }), 'noConnection', /GET .*certificate.*TRUSTED_ROOT/)
    await against(['wait'], (slow) =>
      fails(findBox({ ...slow, limit: 50 }), 'noConnection', /no answer in 0\.05 s/),
    )
    await against(['drop'], (broken) =>
      fails(act(broken, '/storage_boxes/1/actions/x', {}), 'noConnection', /It may have begun over there/),
    )
    const gone = await scripted('wait')
    const there = apiOf(gone)
    await close(gone)
    await fails(findBox(there), 'noConnection', /ECONNREFUSED.*Check HETZNER_API/)
  })
})
