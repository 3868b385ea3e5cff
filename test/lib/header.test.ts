import * as assert from 'uvu/assert'
import type { Fail } from '../../ops/lib/fail.ts'
import { encryptedDevice, headerIn, readHeader } from '../../ops/lib/header.ts'
import { headerScript } from '../../ops/lib/header-backup.ts'
import { clean } from '../bash.ts'
import { describe, rejects } from '../describe.ts'
import { Captor, Listener } from '../hosts.ts'

/** What cryptsetup 2.6.1 prints, without what is not read. */
const kdf = { type: 'argon2id', time: 4, memory: 65536, cpus: 2, salt: 'AAAA' }
const metadata = {
  keyslots: {
    '10': {
      type: 'luks2',
      key_size: 64,
      kdf: { type: 'pbkdf2', hash: 'sha256', iterations: 1000, salt: 'AAAA' },
    },
    '2': { type: 'luks2', key_size: 64, kdf },
  },
  tokens: {
    '0': { type: 'everyskill-custodian', keyslots: ['2'], name: 'alice', key: 'SHA256:a' },
    '1': { type: 'systemd-tpm2', keyslots: ['10'], name: 'no custodian' },
    '2': { type: 'everyskill-custodian', keyslots: [], name: 'bob', key: 'SHA256:b' },
  },
  segments: { '0': { type: 'crypt', encryption: 'aes-xts-plain64', sector_size: 4096 } },
}
const uuid = '48cd589c-fade-4d94-b561-54da7d0102bb'
const printed = (label: string, json: unknown) => `${uuid}\n${label}\n${JSON.stringify(json, null, 2)}`

describe('a LUKS2 header', ({ test }) => {
  test('is read with its slots in order, each with its cost and whose it is', () => {
    const header = headerIn(printed('everyskill', metadata))
    assert.equal(
      [header.uuid, header.label, header.cipher, header.keyBits],
      [uuid, 'everyskill', 'aes-xts-plain64', 512],
    )
    const nobody = { custodian: undefined, fingerprint: undefined }
    assert.equal(header.slots, [
      {
        slot: 2,
        kdf: 'argon2id',
        memory: 65536,
        iterations: 4,
        parallel: 2,
        custodian: 'alice',
        fingerprint: 'SHA256:a',
      },
      { slot: 10, kdf: 'pbkdf2', memory: 0, iterations: 1000, parallel: 0, ...nobody },
    ])
    assert.equal(
      header.tokens.map((one) => [one.token, one.custodian, one.slots]),
      [
        [0, 'alice', [2]],
        [2, 'bob', []],
      ],
    )
    assert.is(headerIn(printed('(no label)', metadata)).label, '')
  })

  test('without slots is one all the same', () => {
    assert.equal(headerIn(printed('x', { ...metadata, keyslots: {} })).slots, [])
  })

  test('that cannot be understood ends with 6', async () => {
    for (const text of ['', 'x\ny\n{}', printed('x', {}), `${uuid}\nx\nno json`])
      assert.is(((await rejects(() => headerIn(text), /cannot be understood/)) as Fail).exitCode, 6)
  })

  test('is read by clean scripts', async () => {
    const host = new Captor(() => printed('everyskill', metadata))
    await readHeader(host, '/dev/sda3')
    await encryptedDevice(host, new Listener())
    clean(...host.scripts, headerScript('/dev/sda3').text)
  })
})
