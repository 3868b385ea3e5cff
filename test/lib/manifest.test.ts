import * as assert from 'uvu/assert'
import { Fail } from '../../ops/lib/fail.ts'
import {
  columns,
  dateOf,
  differences,
  expired,
  isLabel,
  labelAt,
  type Manifest,
  parseManifest,
  parseRows,
  summary,
} from '../../ops/lib/manifest.ts'
import { describe } from '../describe.ts'

const sha256 = 'a'.repeat(64)
const manifest: Manifest = {
  format: 1,
  label: '20261122T205310Z',
  shelf: 'dumps',
  createdAt: '2026-11-22T20:53:10.123Z',
  files: { 'database.dump.gpg': { bytes: 10, sha256 }, 'globals.sql.gpg': { bytes: 2, sha256 } },
  rows: { 'public.documents': 3, 'public.tenants': 0 },
  postgres: '17.11',
  pgvector: '0.8.0',
  release: null,
  tool: null,
  recipients: [],
}

const state: Manifest = {
  ...manifest,
  shelf: 'files',
  files: { 'files.tar.gpg': { bytes: 7, sha256 } },
  rows: {},
}

describe('labels', ({ test }) => {
  test('name the second in UTC, and give it back', () => {
    const date = new Date('2026-11-22T20:53:10.999Z')
    assert.is(labelAt(date), '20261122T205310Z')
    assert.is(dateOf('20261122T205310Z').toISOString(), '2026-11-22T20:53:10.000Z')
  })

  test('are not parts, not files, not paths', () => {
    assert.ok(isLabel('20261122T205310Z'))
    for (const name of [
      '20261122T205310Z.part',
      '.',
      '..',
      '',
      'x20261122T205310Z',
      '20261122T205310Z/',
      '2026',
    ])
      assert.not.ok(isLabel(name), name)
  })
})

describe('retention', ({ test }) => {
  const now = new Date('2026-11-22T00:00:00Z')
  const daysAgo = (days: number) => labelAt(new Date(now.getTime() - days * 86_400_000))

  test('takes what is older than its days, the oldest first, whatever the order', () => {
    const labels = [daysAgo(1), daysAgo(91), daysAgo(200), daysAgo(89)]
    assert.equal(expired(labels, now, 90, 1), [daysAgo(200), daysAgo(91)])
  })

  test('keeps what is exactly as old as its days', () =>
    assert.equal(expired([daysAgo(90), daysAgo(0)], now, 90, 1), []))

  test('never takes the newest, however old they are', () => {
    const old = [300, 301, 302, 303].map(daysAgo)
    assert.equal(expired(old, now, 90, 1), [daysAgo(303), daysAgo(302), daysAgo(301)])
    assert.equal(expired(old, now, 90, 4), [])
    assert.equal(expired(old, now, 90, 7), [])
  })
})

describe('a manifest', ({ test }) => {
  const refused = (text: string, label = manifest.label) => {
    try {
      parseManifest(text, label, 'Storage Box')
    } catch (error) {
      assert.ok(error instanceof Fail)
      assert.is((error as Fail).exitCode, 6)
      return (error as Fail).message
    }
    return assert.unreachable(`was taken: ${text.slice(0, 40)}`)
  }

  test('is read as it was written', () => {
    for (const one of [manifest, state])
      assert.equal(parseManifest(JSON.stringify(one), manifest.label, 'server'), one)
  })

  test('is refused when it is cut off, of another backup, of another format, or names no hash', () => {
    assert.match(String(refused('{"format": 1, ')), /damaged/)
    assert.match(String(refused(JSON.stringify(manifest), '20260101T000000Z')), /it says 20261122T205310Z/)
    refused(JSON.stringify({ ...manifest, format: 2 }))
    refused(
      JSON.stringify({
        ...manifest,
        files: { ...manifest.files, 'globals.sql.gpg': { bytes: 1, sha256: '' } },
      }),
    )
  })

  test('is refused when it is silent about a file of its shelf, or of no shelf', () => {
    const one = { 'database.dump.gpg': { bytes: 10, sha256 } }
    const said = String(refused(JSON.stringify({ ...manifest, files: one })))
    assert.match(said, /it says nothing about globals\.sql\.gpg$/)
    assert.match(String(refused(JSON.stringify({ ...state, files: one }))), /nothing about files\.tar\.gpg$/)
    refused(JSON.stringify({ ...manifest, shelf: 'hourly' }))
  })

  test('is refused when it was made at no moment, or not at the one it is named after', () => {
    for (const createdAt of [
      "2026-11-22T20:53:10Z'; drop table x; --",
      '2026-11-22T20:53:10+01:00',
      '22.11.2026 20:53:10',
      '2026-11-22T20:53:10.123Z\n',
      '',
    ])
      assert.match(String(refused(JSON.stringify({ ...manifest, createdAt }))), /damaged/, createdAt)
    const later = JSON.stringify({ ...manifest, createdAt: '2026-11-22T20:53:11.000Z' })
    assert.match(String(refused(later)), /it says 20261122T205310Z and 20261122T205311Z/)
    const whole = { ...manifest, createdAt: '2026-11-22T20:53:10Z' }
    assert.equal(parseManifest(JSON.stringify(whole), manifest.label, 'server'), whole)
  })

  test('fits into one line', () =>
    assert.equal(
      [summary(manifest), summary(state)],
      ['20261122T205310Z: dump of 2 tables, 3 rows, 12 bytes', '20261122T205310Z: files, 7 bytes'],
    ))
})

describe('rows', ({ test }) => {
  test('are read from lines, also of tables with a tab in their name', () => {
    assert.equal(parseRows(['public.a\t1', '"odd\tname"."t"\t20']), { 'public.a': 1, '"odd\tname"."t"': 20 })
  })

  test('differ when one is missing, more, or of a table that was not dumped', () => {
    assert.equal(differences({ a: 1, b: 2 }, { a: 1, b: 2 }), [])
    assert.equal(differences({ a: 1, b: 0 }, { a: 2, c: 0 }), [
      'a: 1 in the dump, 2 now',
      'b: 0 in the dump, no table now',
      'c: no table in the dump, 0 now',
    ])
  })

  test('stand side by side', () =>
    assert.is(
      columns([
        ['A', 'LONG'],
        ['xyz', '1'],
      ]),
      'A    LONG\nxyz  1',
    ))
})
