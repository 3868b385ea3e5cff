import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import * as assert from 'uvu/assert'
import { compare, type Seen, tell, type Watched, watchFile } from '../../ops/lib/host-watch.ts'
import type { Where } from '../../ops/lib/waiting-host.ts'
import { describe, rejects } from '../describe.ts'
import { folders } from '../folders.ts'
import { Listener } from '../hosts.ts'

const at = (minutes: number) => new Date(Date.UTC(2026, 0, 1, 0, minutes))

describe('the watch over a host that starts', ({ test }) => {
  /** What is told by looks at these minutes. */
  function told(...looks: [minute: number, where: Seen][]): [number, string][] {
    let before: Watched | undefined
    return looks.flatMap(([minute, where]) => {
      const { next, text } = compare('host1', before, where, at(minute))
      before = next
      return text ? [[minute, text] as [number, string]] : []
    })
  }

  test('is silent while it is up, and for the first ten minutes', () => {
    assert.equal(
      told([0, 'up'], [5, 'waiting'], [10, 'waiting'], [14, 'waiting'], [15, 'up'], [30, 'up']),
      [],
    )
  })

  test('tells after ten minutes at the prompt, once, again each hour, and when it is up', () => {
    const looks = [0, 5, 10, 15, 65, 70, 75].map((minute) => [minute, 'waiting'] as [number, Where])
    const all = told(...looks, [80, 'up'], [85, 'up'])
    assert.equal(
      all.map(([minute]) => minute),
      [10, 70, 80],
    )
    assert.match(all[0]?.[1] ?? '', /host1 waits at its unlock prompt, seen first at 2026-01-01T00:00:00/)
    assert.is(all[2]?.[1], 'host1 is up again')
  })

  test('tells of a host that nothing answers for, and counts on when it reaches the prompt', () => {
    const all = told([0, 'silent'], [6, 'waiting'], [12, 'silent'], [20, 'waiting'])
    assert.equal(
      all.map(([minute]) => minute),
      [12],
    )
    assert.match(all[0]?.[1] ?? '', 'host1 answers neither by ssh nor at its unlock prompt')
  })

  test('tells of a host that is up with another host key: that is not its disk', () => {
    const all = told([0, 'foreign'], [10, 'foreign'], [12, 'up'])
    assert.equal(
      all.map(([minute]) => minute),
      [10, 12],
    )
    assert.match(all[0]?.[1] ?? '', /does not show the host key of SERVER_KNOWN_HOSTS.*rescue system/)
  })
})

describe('what the watch has to tell', ({ test, before, after }) => {
  const folder = folders({ before, after })
  const posted: string[] = []
  const state = process.env.XDG_STATE_HOME
  let [url, status] = ['', 200]
  let server: Server
  before(async () => {
    server = createServer((request, answer) => {
      request.on('data', (data) => posted.push(String(data))).on('end', () => answer.writeHead(status).end())
    })
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  })
  after(async () => {
    await new Promise((done) => server.close(done))
    if (state === undefined) delete process.env.XDG_STATE_HOME
    else process.env.XDG_STATE_HOME = state
  })

  test('is printed for cron and posted; what was not delivered is told again', async () => {
    process.env.XDG_STATE_HOME = folder()
    const session = new Listener()
    const look = (minute: number, where: Where = 'waiting') => tell(session, 'host1', where, url, at(minute))
    await look(0)
    status = 500
    await rejects(() => look(11), /not delivered: the alert address answered 500/)
    status = 200
    await look(12)
    await look(13)
    await look(14, 'up')
    assert.equal(posted.slice(1), [session.printed[1], 'host1 is up again'])
    assert.is(session.printed.length, 3)
    assert.is(watchFile('host1'), join(process.env.XDG_STATE_HOME, 'everyskill/waiting-host1.json'))
  })

  test('is kept in a file of this machine; a damaged one begins anew', async () => {
    process.env.XDG_STATE_HOME = folder()
    mkdirSync(dirname(watchFile('host1')))
    writeFileSync(watchFile('host1'), '{')
    const session = new Listener()
    await tell(session, 'host1', 'waiting', undefined, at(0))
    await tell(session, 'host1', 'waiting', undefined, at(10))
    assert.is(session.printed.length, 1)
  })
})
