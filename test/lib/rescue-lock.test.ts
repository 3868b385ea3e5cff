import * as assert from 'uvu/assert'
import { Fail } from '../../ops/lib/fail.ts'
import { aloneInRescue } from '../../ops/lib/rescue-lock.ts'
import { describe, rejects } from '../describe.ts'
import { folders } from '../folders.ts'
import { Elsewhere, Listener } from '../hosts.ts'

describe('work in the rescue system', ({ test, before, after }) => {
  const folder = folders({ before, after })

  test('waits for a lock that is about to go', async () => {
    const session = new Listener()
    const host = new Elsewhere(folder(), session)
    host.argv = (
      (argv) => (script, timeout) =>
        argv({ ...script, text: host.at(script.text) }, timeout)
    )(host.argv.bind(host))
    const done: string[] = []
    const first = aloneInRescue(host, session, async () => {
      await new Promise((go) => setTimeout(go, 1000))
      done.push('first')
    })
    await new Promise((go) => setTimeout(go, 400))
    await Promise.all([first, aloneInRescue(host, session, async () => void done.push('second'))])
    assert.equal(done, ['first', 'second'])
    assert.match(session.said.join(), /the luks lock on elsewhere is held by .*: waiting/)
  })

  test('does not begin again what found a lock of its own taken', async () => {
    const session = new Listener(true)
    let times = 0
    const work = async () => {
      times++
      throw new Fail('locked', 'another one')
    }
    await rejects(() => aloneInRescue(new Elsewhere(folder(), session), session, work), /another one/)
    assert.is(times, 1)
  })
})
