import { spawnSync } from 'node:child_process'
import * as assert from 'uvu/assert'
import { countRows, dumpFiles } from '../../ops/lib/dump.ts'
import { sh } from '../../ops/lib/sh.ts'
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

describe('the files of a dump', ({ test }) => {
  test('go through the encryption as they come, the roles too, and nothing else is written beside them', () => {
    const { text } = dumpFiles(sh`encrypt`)
    assert.match(text, /'pg_dump' .* \| encrypt > "\$part\/database\.dump\.gpg"$/m)
    assert.match(text, /pg_dumpall --globals-only \| encrypt > "\$part\/globals\.sql\.gpg"$/m)
    assert.equal(text.match(/> "\$part\/[\w.]+"/g)?.length, 2)
  })

  test('count only when the very stream that is kept was read to its end', () => {
    const { text } = dumpFiles(sh`encrypt`)
    assert.match(text, /\| tee "\$work\/stream" \| encrypt > "\$part\/database/)
    assert.match(text, /wait "\$reader" \|\| \{ .* exit '?74'?; \}/)
  })
})
