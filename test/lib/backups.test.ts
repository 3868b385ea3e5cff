import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parse } from 'dotenv'
import * as assert from 'uvu/assert'
import { backupFiles } from '../../ops/lib/backups.ts'
import { catalogue, catalogueText } from '../../ops/lib/catalogue.ts'
import { readEnv } from '../../ops/lib/env.ts'
import type { Fail } from '../../ops/lib/fail.ts'
import { hostNames } from '../../ops/lib/host.ts'
import { boxNames } from '../../ops/lib/storagebox.ts'
import { describe } from '../describe.ts'

describe('what a backup needs on the server', ({ test, before, after }) => {
  let dir = ''
  const path = (name: string) => join(dir, name)
  const env = () => ({
    BACKUP_GPG_RECIPIENTS: 'a.asc,b.asc' as string | undefined,
    BACKUP_GPG_PASSPHRASE: undefined as string | undefined,
    BACKUP_RETENTION_DAYS: '90',
    ALERT_URL: 'https://alert.example/topic' as string | undefined,
    STORAGEBOX_USER: 'u1-sub1',
    STORAGEBOX_HOST: 'box.example',
    STORAGEBOX_PORT: '23',
    STORAGEBOX_DIR: 'backups',
    STORAGEBOX_SSH_KEY: 'key',
    STORAGEBOX_KNOWN_HOSTS: 'known',
  })
  const files = (given = env()) => backupFiles(path('.env'), given)

  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'backups-'))
    writeFileSync(path('a.asc'), '-----BEGIN PGP PUBLIC KEY BLOCK-----\n')
    writeFileSync(path('b.asc'), '-----BEGIN PGP PUBLIC KEY BLOCK-----\n')
    writeFileSync(path('private.asc'), '-----BEGIN PGP PRIVATE KEY BLOCK-----\n')
    writeFileSync(path('key'), 'ssh key')
    writeFileSync(path('known'), 'host key')
  })
  after(() => rmSync(dir, { recursive: true, force: true }))

  test('is its own .env, the public keys and the way to the box; root reads them, nobody else', () => {
    assert.equal(
      files().map((file) => file.path.replace('/opt/everyskill/env/', '')),
      [
        'backup.env',
        'backup/recipient-1.asc',
        'backup/recipient-2.asc',
        'backup/storagebox_key',
        'backup/storagebox_known_hosts',
      ],
    )
    for (const { owner, mode } of files()) assert.equal([owner, mode], [0, '0400'])
  })

  test('is an .env that the scripts take there, and that names the files there', () => {
    const own = path('own.env')
    writeFileSync(own, files()[0]?.content ?? '', { mode: 0o600 })
    const read = readEnv(own, [...hostNames, ...boxNames, 'BACKUP_GPG_RECIPIENTS', 'ALERT_URL'])
    assert.is(read.SERVER_HOST, 'local')
    assert.is(read.BACKUP_GPG_RECIPIENTS?.split(',').length, 2)
    assert.is(read.ALERT_URL, 'https://alert.example/topic')
    assert.not.match(files({ ...env(), ALERT_URL: undefined })[0]?.content ?? '', /ALERT_URL/)
    assert.ok(Object.values(parse(files()[0]?.content ?? '')).every((value) => !value.includes(dir)))
  })

  test('is the passphrase only where there is no public key', () => {
    const passphrase = 'correct-horse-battery'
    const symmetric = files({ ...env(), BACKUP_GPG_RECIPIENTS: undefined, BACKUP_GPG_PASSPHRASE: passphrase })
    assert.ok(
      symmetric.some((file) => file.path.endsWith('/passphrase') && file.content === `${passphrase}\n`),
    )
    assert.not.match(symmetric[0]?.content ?? '', /GPG/)
    const both = files({ ...env(), BACKUP_GPG_PASSPHRASE: passphrase })
    assert.not.ok(both.some((file) => file.content.includes(passphrase)))
  })

  test('refuses a private key, a file that is not there, and no way to encrypt', () => {
    const refused = (given: Partial<ReturnType<typeof env>>) => {
      try {
        files({ ...env(), ...given })
      } catch (error) {
        assert.is((error as Fail).exitCode, 2)
        return assert.match((error as Fail).message, /BACKUP_GPG_RECIPIENTS|STORAGEBOX_SSH_KEY/)
      }
      return assert.unreachable(JSON.stringify(given))
    }
    refused({ BACKUP_GPG_RECIPIENTS: 'private.asc' })
    refused({ BACKUP_GPG_RECIPIENTS: 'missing.asc' })
    refused({ STORAGEBOX_SSH_KEY: 'missing' })
    refused({ BACKUP_GPG_RECIPIENTS: undefined })
  })
})

describe('the catalogue', ({ test }) => {
  test('has the backups of both places in the order of their age', () => {
    const here = [{ label: '20260102T000000Z', manifest: undefined, proven: { shipped: 'then' } }]
    const entries = catalogue(here, ['20260103T000000Z', '20260101T000000Z', '20260102T000000Z'])
    assert.equal(
      entries.map(({ label, server, box }) => [label.slice(7, 8), server, box]),
      [
        ['1', false, true],
        ['2', true, true],
        ['3', false, true],
      ],
    )
    assert.match(catalogueText(entries), /^20260102T000000Z +\? +\? +yes +yes +shipped$/m)
    assert.is(catalogueText([]), 'none')
  })
})
