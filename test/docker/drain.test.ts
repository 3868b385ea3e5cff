/** docker/drain.cjs in front of a plain server and of one that handles SIGTERM as Next does. Real Next: the rehearsal. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, get, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import { describe, rejects } from '../describe.ts'

const DRAIN_MS = 1500

/** Answers /slow/MS after MS milliseconds; idle connections stay open for a minute. */
const plain = `
  const server = require('node:http').createServer((request, response) => {
    const wait = Number(/^\\/slow\\/(\\d+)/.exec(request.url)?.[1] ?? 0)
    setTimeout(() => response.end(request.url), wait)
  })
  server.keepAliveTimeout = 60_000
  server.on('upgrade', (request, socket) => socket.write('HTTP/1.1 101 Switching Protocols\\r\\n\\r\\n'))
  server.listen(0, '127.0.0.1', () => console.log(server.address().port))`

/** As dist/server/lib/start-server.js of Next 16: closes at once, then finishes its own work, then leaves with 143. */
const next = `${plain}
  process.env.NEXT_MANUAL_SIG_HANDLE || process.on('SIGTERM', async () => {
    await new Promise(done => server.close(done))
    setTimeout(() => { console.log('after() has run'); process.exit(143) }, 100)
  })`

type Answer = { status: number | undefined; body: string; headers: IncomingMessage['headers'] }

describe('drain.cjs', ({ test, afterEach, after }) => {
  const scratch = mkdtempSync(join(tmpdir(), 'everyskill-drain-'))
  const readyFile = join(scratch, 'colours')
  const started: ChildProcess[] = []
  afterEach(() => {
    for (const child of started.splice(0)) child.kill('SIGKILL')
  })
  after(() => rmSync(scratch, { recursive: true }))

  const colours = (text: string) => {
    writeFileSync(`${readyFile}.new`, text)
    renameSync(`${readyFile}.new`, readyFile)
  }

  async function start(program: string, env: Record<string, string> = {}) {
    const all = {
      PATH: process.env.PATH,
      COLOUR: 'blue',
      READY_FILE: readyFile,
      DRAIN_MS: `${DRAIN_MS}`,
      NEXT_MANUAL_SIG_HANDLE: 'true',
      ...env,
    }
    const child = spawn(process.execPath, ['--require', './docker/drain.cjs', '--eval', program], {
      env: all,
    })
    started.push(child)
    const output = { text: '' }
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (output.text += data))
    const exit = once(child, 'exit').then(([code]) => code as number | null)
    await once(child.stdout, 'data')
    return { child, exit, output, port: Number.parseInt(output.text, 10) }
  }

  function ask(port: number, path: string, agent: Agent | false = false): Promise<Answer> {
    return new Promise((resolve, reject) => {
      get({ host: '127.0.0.1', port, path, agent }, (response) => {
        let body = ''
        response.on('data', (data) => (body += data))
        response.on('end', () => resolve({ status: response.statusCode, body, headers: response.headers }))
      }).on('error', reject)
    })
  }

  const ready = async (port: number) => (await ask(port, '/__ready')).status

  test('is ready exactly while its colour stands in the file', async () => {
    const { port } = await start(plain)
    assert.is(await ready(port), 503, 'no file')
    for (const [text, status] of [
      ['blue\n', 200],
      ['green\n', 503],
      ['blue green\n', 200],
      ['bluegreen', 503],
      ['', 503],
    ] as const) {
      colours(text)
      assert.is(await ready(port), status, `'${text}'`)
    }
  })

  test('is never ready without a colour, and leaves every other path to the app', async () => {
    colours('blue')
    const { port } = await start(plain, { COLOUR: '' })
    assert.is(await ready(port), 503)
    for (const path of ['/', '/__readyness', '/a/__ready', '/?/__ready']) {
      const { status, body } = await ask(port, path)
      assert.equal([status, body], [200, path])
    }
  })

  test('SIGTERM: not ready at once, still serves while it drains, finishes what runs, leaves with 0', async () => {
    colours('blue')
    const { child, exit, port } = await start(plain)
    const agent = new Agent({ keepAlive: true })
    const slow = ask(port, `/slow/${DRAIN_MS * 2}`, agent)
    await ask(port, '/')
    child.kill('SIGTERM')
    await sleep(100)
    assert.is(await ready(port), 503)
    const during = await ask(port, '/during', new Agent({ keepAlive: true }))
    assert.equal([during.status, during.headers.connection], [200, 'close'])
    await sleep(DRAIN_MS)
    await rejects(() => ask(port, '/too-late'), /ECONNREFUSED/)
    assert.is((await slow).status, 200)
    const since = performance.now()
    assert.is(await exit, 0)
    assert.ok(performance.now() - since < 5000, 'left soon after the last request')
  })

  test('an idle connection does not keep it', async () => {
    const { child, exit, port } = await start(plain)
    const agent = new Agent({ keepAlive: true })
    await ask(port, '/', agent)
    const since = performance.now()
    child.kill('SIGTERM')
    assert.is(await exit, 0)
    assert.ok(performance.now() - since < DRAIN_MS + 5000)
    agent.destroy()
  })

  test('keeps back a handler like the one of Next, and lets it finish its work', async () => {
    const { child, exit, output, port } = await start(next)
    const agent = new Agent({ keepAlive: true })
    const slow = ask(port, `/slow/${DRAIN_MS * 2}`, agent)
    await ask(port, '/')
    child.kill('SIGTERM')
    child.kill('SIGTERM')
    await sleep(100)
    assert.is((await ask(port, '/during')).status, 200)
    assert.is((await slow).status, 200)
    assert.is(await exit, 0)
    assert.match(output.text, 'after() has run')
    agent.destroy()
  })

  test('leaves upgrades alone, and cuts what outlasts the limit', async () => {
    const { child, exit, output, port } = await start(plain, {
      DRAIN_MS: '300',
      STOP_LIMIT_MS: '1200',
    })
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write('GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
    const [data] = await once(socket, 'data')
    assert.match(String(data), /^HTTP\/1\.1 101/)
    child.kill('SIGTERM')
    assert.is(await exit, 0)
    assert.match(output.text, 'still running after 1200 ms are cut')
    socket.destroy()
  })

  test('a program that never listened stops at once', async () => {
    const { child, exit } = await start("console.log('up'); setInterval(() => {}, 1000)", {
      DRAIN_MS: '30000',
    })
    child.kill('SIGTERM')
    assert.is(await exit, 0)
  })
})
