import * as assert from 'uvu/assert'
import { Fail } from '../../ops/lib/fail.ts'
import { isPhysical, parseInfo, pgbackrest } from '../../ops/lib/pgbackrest.ts'
import { describe } from '../describe.ts'

const label = '20261122-101700F'
const next = `${label}_20261122-111700I`
const hash = 'b'.repeat(40)

/** One backup with every field that pgBackRest 2.5x gives, also those that we do not read. */
const backup = (own: object) => ({
  annotation: { key: 'value' },
  archive: { start: '000000010000000000000004', stop: '000000010000000000000005' },
  backrest: { format: 5, version: '2.54.2' },
  database: { id: 1, 'repo-key': 1 },
  error: false,
  info: { delta: 31457280, repository: { delta: 4096000, 'delta-map': 7 }, size: 31457280 },
  label,
  lsn: { start: '0/4000028', stop: '0/5000050' },
  prior: null,
  reference: null,
  timestamp: { start: 1795342620, stop: 1795342640 },
  type: 'full',
  ...own,
})
const stanza = (own: object = {}) => ({
  archive: [
    {
      database: { id: 1, 'repo-key': 1 },
      id: '17-1',
      max: '000000010000000000000009',
      min: '000000010000000000000004',
    },
  ],
  backup: [
    backup({}),
    backup({
      archive: { start: '000000010000000000000007', stop: '000000010000000000000007' },
      error: true,
      info: { delta: 8192, repository: { delta: 512, 'delta-map': 7 }, size: 31457280 },
      label: next,
      prior: label,
      reference: [label],
      timestamp: { start: 1795346220, stop: 1795346225 },
      type: 'incr',
    }),
  ],
  cipher: 'aes-256-cbc',
  db: [{ id: 1, 'repo-key': 1, 'system-id': 7e18, version: '17' }],
  name: 'everyskill',
  repo: [{ cipher: 'aes-256-cbc', key: 1, status: { code: 0, message: 'ok' } }],
  status: { code: 0, lock: { backup: { held: false }, restore: { held: false } }, message: 'ok' },
  ...own,
})
const info = (own: object = {}) => JSON.stringify([stanza(own)])

describe("pgBackRest's catalogue", ({ test }) => {
  test('becomes the backups, the oldest first, with what each needs', () => {
    const { backups, archive } = parseInfo(info())
    assert.equal(archive, { id: '17-1', min: '000000010000000000000004', max: '000000010000000000000009' })
    assert.equal(backups[0], {
      label,
      type: 'full',
      started: new Date('2026-11-22T10:17:00Z'),
      // 10:17:20 in whole seconds: 10:17:20.9 can be before its end, and then cannot be reached from it.
      stopped: new Date('2026-11-22T10:17:21Z'),
      wal: { start: '000000010000000000000004', stop: '000000010000000000000005' },
      lsn: { start: '0/4000028', stop: '0/5000050' },
      bytes: { cluster: 31457280, stored: 4096000 },
      needs: [label],
      damaged: false,
    })
    const second = backups[1]
    assert.equal([second?.label, second?.type, second?.damaged], [next, 'incr', true])
    assert.equal(second?.needs, [label, next])
    assert.is(backups.length, 2)
  })

  test('takes a backup as good when pgBackRest did not say, which it does where it looked at no page', () => {
    assert.is(parseInfo(info({ backup: [backup({ error: null })] })).backups[0]?.damaged, false)
  })

  test('takes a backup as good in which all that was flagged is ends that are no pages', () => {
    const judged = backup({ error: true, annotation: { 'half-pages': '2' } })
    const other = backup({ error: true, annotation: { by: 'someone' } })
    const { backups } = parseInfo(info({ backup: [judged, other] }))
    assert.equal(
      backups.map((one) => one.damaged),
      [false, true],
    )
  })

  test('has the archive of the newest cluster, and none before the first segment', () => {
    const [old] = stanza().archive
    const upgraded = [old, { ...old, id: '18-2' }]
    assert.is(parseInfo(info({ archive: upgraded })).archive?.id, '18-2')
    assert.is(parseInfo(info({ archive: [{ ...old, min: null, max: null }] })).archive, undefined)
  })

  test('is empty before the first backup, and where there is no stanza', () => {
    const none = { archive: [], backup: [], db: [] }
    for (const status of [
      { code: 1, message: 'missing stanza path' },
      { code: 2, message: 'no valid backups' },
      { code: 3, message: 'missing stanza data' },
    ])
      assert.equal(parseInfo(info({ ...none, status })), { backups: [], archive: undefined }, status.message)
    assert.equal(parseInfo('[]'), { backups: [], archive: undefined })
  })

  test('is refused when it is damaged, not taken for an empty one', () => {
    const [first] = stanza().backup
    for (const text of [
      '',
      'ERROR: [055]: unable to load info file',
      info().slice(0, -10),
      '{}',
      'null',
      info({ backup: null }),
      info({ backup: [{ ...first, timestamp: null }] }),
      info({ backup: [{ ...first, type: 'other' }] }),
      info({ backup: [{ ...first, lsn: {} }] }),
      info({ status: undefined }),
    ]) {
      try {
        parseInfo(text)
        assert.unreachable(text)
      } catch (error) {
        assert.ok(error instanceof Fail, text)
        assert.match((error as Fail).message, /pgBackRest's catalogue cannot be read/)
        assert.is((error as Fail).exitCode, 6)
      }
    }
  })

  test('is refused with its words when pgBackRest could not read it: it says so in JSON and ends with 0', () => {
    const status = { code: 99, message: '[CryptoError] unable to flush: is or was the repo encrypted?' }
    const repo = [{ cipher: 'aes-256-cbc', key: 1, status }]
    const unreadable = { archive: [], backup: [], db: [], repo, status: { code: 99, message: 'other' } }
    assert.throws(
      () => parseInfo(info(unreadable)),
      (error: Error) => {
        assert.match(error.message, /catalogue cannot be read: .* BACKUP_CIPHER_PASS .*: \[CryptoError\]/)
        return (error as Fail).exitCode === 6
      },
    )
  })

  test('that was read with another passphrase puts no binary on the terminal', () => {
    for (const garbage of ['\u001b[2J\u0007é', '\\u001b\\u0007é'])
      assert.throws(
        () =>
          parseInfo(
            `[{"archive":[],"backup":[],"db":[],"repo":[{"status":{"message":"[FormatError] line 1: ${garbage}"}}],"status":{"code":99,"message":"other"}}]`,
          ),
        (error: Error) => /BACKUP_CIPHER_PASS/.test(error.message) && /^[ -~…]+$/.test(error.message),
      )
  })
})

describe('physical backups', ({ test }) => {
  test('are known by their name', () => {
    for (const name of [label, next, `${label}_20261122-111700D`]) assert.ok(isPhysical(name), name)
    for (const name of [
      '',
      'latest',
      'backup.info',
      'backup.history',
      '20261122T101700Z',
      `${label}_x`,
      `${label}/`,
      `${next}_${next}`,
      hash,
    ])
      assert.not.ok(isPhysical(name), name)
  })

  test('are the business of one stanza, in the container of the database', () => {
    const { text } = pgbackrest(['info', '--output=json'])
    assert.is(
      text,
      `docker exec -u postgres "$postgres" pgbackrest '--stanza=everyskill' 'info' '--output=json'`,
    )
  })
})
