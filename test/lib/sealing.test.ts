import * as assert from 'uvu/assert'
import { dumpFiles } from '../../ops/lib/dump.ts'
import { discardScript, manifestOf, partScript, sealScript } from '../../ops/lib/sealing.ts'
import { bringStateScript, stateFiles } from '../../ops/lib/state-files.ts'
import { clean } from '../bash.ts'
import { describe } from '../describe.ts'

const label = '20261122T205310Z'
const fills = { dumps: dumpFiles, files: stateFiles }
const part = (shelf: 'dumps' | 'files', BACKUP_GPG_RECIPIENTS: string | undefined) =>
  partScript({ BACKUP_GPG_RECIPIENTS }, shelf, label, fills[shelf]).text

describe('the script of a portable backup', ({ test }) => {
  const keys = [part('dumps', 'a.asc,b.asc'), part('files', 'a.asc,b.asc')]
  const passphrase = [part('dumps', undefined), part('files', undefined)]
  const all = [...keys, ...passphrase]

  test('is bash that parses, and ShellCheck has nothing to say', () => {
    const rest = [sealScript('dumps', label), discardScript('files', label), bringStateScript()]
    clean(...all, ...rest.map((script) => script.text))
  })

  test('encrypts to every key that deploy put on the server, whatever the operator calls them', () => {
    for (const text of keys) {
      assert.match(text, /'--recipient-file' '\/opt\/everyskill\/env\/backup\/recipient-1\.asc'/)
      assert.match(text, /'--recipient-file' '\/opt\/everyskill\/env\/backup\/recipient-2\.asc'/)
      assert.not.match(text, /[^.\w]a\.asc|--symmetric/)
    }
  })

  test('takes the passphrase out of a file where there is no key', () => {
    const file = /'--symmetric' .*'--passphrase-file' '\/opt\/everyskill\/env\/backup\/passphrase'/
    for (const text of passphrase) assert.match(text, file)
  })

  test('uses AES256 and does not compress twice', () => {
    for (const text of all) assert.match(text, /'-z' '0' '--cipher-algo' 'AES256'/)
  })

  test('works beside no other: under the lock of the work, which what gpg leaves behind does not hold', () => {
    for (const text of [...all, sealScript('dumps', label).text, discardScript('dumps', label).text])
      assert.match(text, /^umask 077\nexec 8>>'\/run\/lock\/everyskill-backup\.work'\nflock -w \d+ 8 \|\|/)
    for (const text of all)
      for (const line of text.split('\n').filter((one) => /^gpg|[|{;] *'gpg'/.test(one)))
        assert.match(line, /8>&-/, line)
  })

  test('asks for room when what a killed run left is gone, and before it makes anything', () => {
    for (const text of all) {
      const places = ['rm -rf -- ./*.part', "\nroom '/var/backups/", 'mkdir "$work" "$part"'].map((one) =>
        text.indexOf(one),
      )
      assert.ok(
        places.every((place, i) => place > (places[i - 1] ?? -1)),
        places.join(),
      )
    }
  })

  test('makes its part on the shelf that it is for, and only a seal gives it the name of a backup', () => {
    assert.match(keys[0] ?? '', /^cd '\/var\/backups\/everyskill\/dumps'$/m)
    assert.match(keys[1] ?? '', /^cd '\/var\/backups\/everyskill\/files'$/m)
    for (const text of all) assert.not.match(text, new RegExp(`'${label}'`))
    assert.match(
      sealScript('files', label).text,
      /manifest\.json"\nsync .*\nmv -T "\$part" "\$final"\nsync \.$/,
    )
  })

  test('keeps certificates, secrets, releases and evidence, but no other backup', () => {
    const [, kept = ''] = /^for path in (.*); do/m.exec(keys[1] ?? '') ?? []
    const names = kept.replaceAll("'", '').split(' ')
    for (const name of ['env', 'releases', 'evidence', 'caddy', 'audit.log'])
      assert.ok(names.includes(`opt/everyskill/${name}`), `${name}: ${kept}`)
    assert.not.match(kept, /var\/backups/)
    assert.match(keys[1] ?? '', /everyskill_caddy_data/)
  })
})

describe('what a portable backup tells', ({ test }) => {
  const sha256 = 'b'.repeat(64)
  const known = { label, shelf: 'dumps', createdAt: 'then', tool: null } as const
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

  test('has only the files of its shelf', () => {
    const told = [`file\tfiles.tar.gpg\t9\t${sha256}`, ...facts].join('\n')
    assert.equal(manifestOf(told, { ...known, shelf: 'files' }).files, {
      'files.tar.gpg': { bytes: 9, sha256 },
    })
  })

  test('is refused when a file is missing from it', () => {
    assert.throws(() => manifestOf(facts.slice(0, 2).join('\n'), known), /globals\.sql\.gpg/)
    assert.throws(() => manifestOf(facts.join('\n'), { ...known, shelf: 'files' }), /files\.tar\.gpg/)
  })
})
