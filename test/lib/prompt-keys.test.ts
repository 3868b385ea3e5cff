import * as assert from 'uvu/assert'
import { authorizedLine } from '../../ops/lib/custodian.ts'
import { keysAtPrompt, letIn, promptKeysIn } from '../../ops/lib/prompt-keys.ts'
import { clean } from '../bash.ts'
import { describe, rejects } from '../describe.ts'
import { Captor, Listener } from '../hosts.ts'

const [alice, bob] = [
  { name: 'alice', key: 'ssh-ed25519 AAAAalice', fingerprint: '' },
  { name: 'bob', key: 'ecdsa-sha2-nistp256 AAAAbob', fingerprint: '' },
]

describe('the keys of the unlock prompt', ({ test }) => {
  test('are read back as they were written', () => {
    const text = `# a comment\n\n${authorizedLine(alice)}\n${authorizedLine(bob)}\n`
    const pairs = [alice, bob].map(({ name, key }) => ({ name, key }))
    assert.equal(promptKeysIn(text), pairs)
  })

  test('are not written anew over a line that would be lost', async () => {
    for (const line of ['ssh-ed25519 AAAA', 'command="x" ssh-ed25519 AAAA two words'])
      await rejects(
        () => promptKeysIn(`${authorizedLine(alice)}\n${line}\n`),
        /ends with no custodian's name/,
      )
  })

  test('are changed by clean scripts', async () => {
    const host = new Captor()
    await keysAtPrompt(host)
    await letIn(host, new Listener(), [alice, bob])
    clean(...host.scripts)
    assert.ok(host.inputs.includes(`${authorizedLine(alice)}\n${authorizedLine(bob)}\n`))
  })
})
