import * as assert from 'uvu/assert'
import { addSlot, costFlags, dropToken, killSlot, slotOpenedBy } from '../../ops/lib/slots.ts'
import { clean } from '../bash.ts'
import { describe } from '../describe.ts'
import { Captor, Listener } from '../hosts.ts'

const cost = { memory: 524288, iterations: 4, parallel: 2 }
const custodian = { name: 'alice', key: 'ssh-ed25519 AAAA', fingerprint: 'SHA256:a/b+c' }

describe('scripts about key slots', ({ test }) => {
  test('are clean, and hold no passphrase', async () => {
    const host = new Captor()
    const session = new Listener()
    const [passphrase, opener] = ['a new passphrase of alice', 'the passphrase of bob']
    const added = { slot: 2, custodian, passphrase, cost }
    await addSlot(host, session, '/dev/sda3', added)
    await addSlot(host, session, '/dev/sda3', { ...added, opener })
    await killSlot(host, session, '/dev/sda3', { slot: 2, token: 3, keep: 0, opener })
    await killSlot(host, session, '/dev/sda3', { slot: 2, token: undefined, keep: 0, opener })
    await slotOpenedBy(host, session, '/dev/sda3', [0, 1], passphrase)
    await dropToken(host, session, '/dev/sda3', 3)
    clean(...host.scripts)
    for (const script of host.scripts)
      assert.not(script.includes(passphrase) || script.includes(opener), script)
    assert.equal(host.inputs.slice(0, 2), [`${passphrase}\n`, `${passphrase}\n${opener}\n`])
  })

  test('state what a guess costs', () => {
    const flags = '--pbkdf argon2id --pbkdf-memory 524288 --pbkdf-parallel 2 --pbkdf-force-iterations 4'
    assert.is(costFlags(cost).join(' '), flags)
  })

  test('are only printed by a dry run', async () => {
    const session = new Listener(true)
    const host = new Captor()
    await slotOpenedBy(host, session, '/dev/sda3', [4], 'x')
    assert.equal(host.scripts, [])
  })
})
