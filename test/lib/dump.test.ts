import { spawnSync } from 'node:child_process'
import * as assert from 'uvu/assert'
import { countRows, dumpScript, manifestOf, sealScript } from '../../ops/lib/dump.ts'
import { describe } from '../describe.ts'

const count = (plain: string) => spawnSync('awk', [countRows], { input: plain, encoding: 'utf8' })

describe('the rows of a plain dump', ({ test }) => {
  test('are counted table by table, none for an empty one', () => {
    const dump = [
      'SET client_encoding = x;',
      'COPY public.tenants (id, name) FROM stdin;',
      '1\ta',
      '2\tCOPY public.fake (id) FROM stdin;',
      '3\t\\\\.',
      '\\.',
      '',
      'COPY public.empty (x) FROM stdin;',
      '\\.',
      'COPY "Odd ""space name"""."t 1" ("a b") FROM stdin;',
      'x',
      '\\.',
      'ALTER TABLE public.tenants ADD PRIMARY KEY (id);',
    ]
    const { stdout, status } = count(`${dump.join('\n')}\n`)
    assert.is(status, 0)
    assert.is(stdout, 'public.tenants\t3\npublic.empty\t0\n"Odd ""space name"""."t 1"\t1\n')
  })

  test('fail when the dump breaks off inside a table', () => {
    assert.is(count('COPY public.tenants (id) FROM stdin;\n1\n2\n').status, 1)
  })
})

describe('the script of a dump', ({ test }) => {
  const keys = dumpScript({ BACKUP_GPG_RECIPIENTS: 'a.asc,b.asc' }, '20261122T205310Z').text
  const passphrase = dumpScript({ BACKUP_GPG_RECIPIENTS: undefined }, '20261122T205310Z').text

  test('is bash that parses', () => {
    for (const text of [keys, passphrase, sealScript('20261122T205310Z').text]) {
      const { status, stderr } = spawnSync('bash', ['-n', '-c', text], { encoding: 'utf8' })
      assert.is(status, 0, stderr)
    }
  })

  test('has nothing for ShellCheck to say', () => {
    if (spawnSync('shellcheck', ['--version']).status !== 0) return
    for (const text of [keys, passphrase]) {
      const args = ['--shell=bash', '--severity=warning', '--exclude=SC2041', '-']
      const { status, stdout } = spawnSync('shellcheck', args, {
        input: `set -euo pipefail\n${text}`,
        encoding: 'utf8',
      })
      assert.is(status, 0, stdout)
    }
  })

  test('encrypts to every key that deploy put on the server, whatever the operator calls them', () => {
    assert.match(keys, /'--recipient-file' '\/opt\/everyskill\/env\/backup\/recipient-1\.asc'/)
    assert.match(keys, /'--recipient-file' '\/opt\/everyskill\/env\/backup\/recipient-2\.asc'/)
    assert.not.match(keys, /a\.asc|--symmetric/)
  })

  test('takes the passphrase out of a file where there is no key', () => {
    assert.match(
      passphrase,
      /'--symmetric' .*'--passphrase-file' '\/opt\/everyskill\/env\/backup\/passphrase'/,
    )
  })

  test('uses AES256 and does not compress twice', () => {
    for (const text of [keys, passphrase]) assert.match(text, /'-z' '0' '--cipher-algo' 'AES256'/)
  })
})

describe('what a dump tells', ({ test }) => {
  const sha256 = 'b'.repeat(64)
  const known = { label: '20261122T205310Z', kind: 'full', createdAt: 'then', tool: null } as const
  const facts = [
    'rows\tpublic.documents\t20',
    `file\tdatabase.dump.gpg\t100\t${sha256}`,
    `file\tglobals.sql.gpg\t7\t${sha256}`,
    'postgres\t17.11 (Debian)',
    'pgvector\t',
    'release\t',
    'key\tABCDEF',
  ]

  test('becomes the manifest; what is empty is null', () => {
    const manifest = manifestOf(facts.join('\n'), known)
    assert.equal(manifest.rows, { 'public.documents': 20 })
    assert.equal(manifest.files['globals.sql.gpg'], { bytes: 7, sha256 })
    assert.equal([manifest.postgres, manifest.pgvector, manifest.release], ['17.11 (Debian)', null, null])
    assert.equal(manifest.recipients, ['ABCDEF'])
  })

  test('is refused when a file is missing from it', () => {
    assert.throws(() => manifestOf(facts.slice(0, 2).join('\n'), known), /globals\.sql\.gpg/)
  })
})
