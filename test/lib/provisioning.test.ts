import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import type { Fail } from '../../ops/lib/fail.ts'
import { provisioningEnv, systemOf, wishOf } from '../../ops/lib/provisioning.ts'
import { describe } from '../describe.ts'
import { folders } from '../folders.ts'

const flags = {
  disk: '/dev/sda',
  serial: 'S1',
  size: '40',
  archive: 'rescue:/root/a.tar',
  hostname: 'host-1',
}
const env = { LUKS_MEMORY: '65536', UNLOCK_PORT: '2222' }

describe('what an operator asks for', ({ test, before, after }) => {
  const folder = folders({ before, after })
  const refusal = (work: () => unknown): string => {
    try {
      work()
    } catch (error) {
      assert.is((error as Fail).exitCode, 2, String(error))
      return (error as Fail).message
    }
    return assert.unreachable('was taken') as never
  }

  test('is a disk, its serial, its size and what goes on it', () => {
    const wish = { disk: '/dev/sda', serial: 'S1', size: 40, memory: 65536, archive: 'rescue:/root/a.tar' }
    assert.equal(wishOf(flags, env), wish)
    assert.is(refusal(() => wishOf({ hostname: 'a' }, env)).split('\n').length, 4)
  })

  for (const [over, words] of [
    [{ disk: 'sda' }, /--disk: the whole disk/],
    [{ serial: 'a b' }, /--serial/],
    [{ size: 'big' }, /--size/],
    [{ archive: '/no/such.tar' }, /--archive: \/no\/such\.tar does not exist/],
    [{ hostname: 'Host_1' }, /--hostname/],
    [{ ip: '192.0.2.1' }, /--ip and --gateway/],
    [{ ip: '192.0.2.1', gateway: 'fe80::1' }, /--ip and --gateway/],
    [{ console: 'hvc0' }, /--console/],
    [{ preserve: true }, /--archive and --preserve: either/],
    [{ preserve: true, archive: undefined, 'backup-attested': 'yes' }, /needs --backup-attested: the label/],
    [
      { preserve: true, archive: undefined, 'backup-attested': '20261121T000000Z', 'start-over': true },
      /--start-over and --preserve/,
    ],
  ] as const) {
    test(`is refused with ${JSON.stringify(over)}`, () => {
      assert.match(
        refusal(() => wishOf({ ...flags, ...over }, env)),
        words,
      )
    })
  }

  test('has the console where a person looks', () => {
    const consoleOf = (screen: boolean, console?: string) =>
      systemOf({ ...flags, console }, env, [], [], screen).console
    assert.equal([consoleOf(true), consoleOf(false), consoleOf(true, 'ttyS0')], ['tty0', 'ttyS0', 'ttyS0'])
  })

  test('names in its .env what only provisioning needs', () => {
    const file = join(folder(), '.env')
    const lines = ['SERVER_HOST=local', 'SERVER_USER=deploy', 'SERVER_SSH_PORT=2022', 'STORAGEBOX_USER=u1']
    const box = ['STORAGEBOX_HOST=box', 'STORAGEBOX_SSH_KEY=k', 'STORAGEBOX_KNOWN_HOSTS=k']
    writeFileSync(file, [...lines, ...box].join('\n'), { mode: 0o600 })
    const message = refusal(() => provisioningEnv(file))
    for (const name of ['CUSTODIANS', 'UNLOCK_KNOWN_HOSTS', 'SERVER_KNOWN_HOSTS', 'BACKUP_GPG_RECIPIENTS'])
      assert.match(message, new RegExp(`${name} is missing`))
    assert.match(message, /SERVER_HOST is local[\s\S]*SERVER_USER is deploy[\s\S]*SERVER_SSH_PORT is 2022/)
  })
})
