import { readdirSync, readFileSync } from 'node:fs'
import * as assert from 'uvu/assert'
import { describe, rejects } from '../describe.ts'
import { fill, play } from './play.ts'
import { missing, parse, problemsOf, readRunbook } from './runbook.ts'

const fence = '```'
const all = readdirSync('runbooks').filter((name) => name.endsWith('.md') && name !== 'README.md')
const body = (code: string, text: string) =>
  `# A\n\n## Situation\n## Impact\n## You need\n## Steps\n\n${fence}sh lab\n${code}\n${fence}\n\n${fence}text\n${text}\n${fence}\n\n## Verify\n## Roll back\n## Escalate\n`

const sources = ['ops', 'ops/lib'].flatMap((dir) =>
  readdirSync(dir, { withFileTypes: true })
    .filter((one) => one.isFile())
    .map((one) => readFileSync(`${dir}/${one.name}`, 'utf8')),
)

/** Quotations in the first column of a table headed `it says` that no script has in its text. */
function unsaid(text: string): string[] {
  const tables = [...text.matchAll(/^\| it says \|.*\n\|[-|]+\n((?:\|.*\n)+)/gm)]
  const cells = tables.flatMap(([, rows = '']) => rows.split('\n').map((row) => row.split(' | ')[0] ?? ''))
  const quoted = cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, words = '']) => words))
  const said = (words: string) =>
    sources.some((source) => words.split('…').every((part) => source.includes(part.trim())))
  return quoted.filter((words) => !said(words))
}

describe('the runbooks', ({ test }) => {
  for (const name of all) {
    test(`${name} keeps the conventions`, () => {
      assert.equal(problemsOf(readRunbook(`runbooks/${name}`)), [])
    })

    test(`${name} sets its variables in its first block, and uses none that nobody sets`, () => {
      const { blocks } = readRunbook(`runbooks/${name}`)
      const code = blocks.map((block) => block.code)
      const set = new Set(code.join('\n').match(/^[A-Z_]+(?==)/gm))
      assert.match(code[0] ?? '', /^ENV_FILE=\.env$/m)
      for (const [, used = ''] of code.join('\n').matchAll(/"\$([A-Z_]+)"/g)) assert.ok(set.has(used), used)
      assert.not.match(code.join('\n'), /npx tsx (?!.*--env "\$ENV_FILE")/)
    })

    test(`${name} quotes in its tables what a script can say`, () => {
      const { text } = readRunbook(`runbooks/${name}`)
      assert.equal(unsaid(text), [])
    })

    test(`${name} is in the index`, () => {
      assert.ok(readRunbook('runbooks/README.md').text.includes(`(${name})`))
    })
  }
})

describe('quotations', ({ test }) => {
  test('of what no script says are found', () => {
    const table =
      '| it says | do |\n|---|---|\n| `there is no backup`, `… was never made` | a |\n| `all … went missing` | b |\n'
    assert.equal(unsaid(table), ['all … went missing'])
  })
})

describe('reading a runbook', ({ test }) => {
  test('finds blocks, where they are, and what they print', () => {
    const { blocks } = parse('a.md', body('echo one\necho two', 'one\n…'))
    assert.equal(blocks, [{ line: 9, kind: 'lab', code: 'echo one\necho two', expected: ['one', '…'] }])
  })

  test('refuses a fence that is not closed, and output of no command', () => {
    assert.throws(() => parse('a.md', `${fence}sh lab\necho one\n`), 'not closed')
    assert.throws(() => parse('a.md', `${fence}text\none\n${fence}\n`), 'output of no command')
  })

  test('a runbook that the lab does not run is wrong', () => {
    const text = body('echo one', 'one').replace('sh lab', 'sh manual')
    assert.match(problemsOf(parse('a.md', text)).join(), /the lab runs none of it/)
  })

  test('a missing heading, a prompt and a block without a kind are wrong', () => {
    assert.equal(problemsOf(parse('a.md', body('echo', 'x'))), [])
    assert.match(problemsOf(parse('a.md', body('echo', 'x').replace('## Verify\n', ''))).join(), /headings/)
    assert.match(problemsOf(parse('a.md', body('$ echo', 'x'))).join(), /prompt/)
    assert.match(problemsOf(parse('a.md', body('echo', 'x').replace('sh lab', 'sh'))).join(), /neither/)
  })
})

describe('comparing output', ({ test }) => {
  const printed = '✓ start blue 1.2 s\nserver       10.0.0.1\n(odd) [line] *\n'

  test('takes … for anything, columns of any width, and lines in between', () => {
    assert.equal(missing(['✓ start blue …', '(odd) [line] *'], printed), [])
    assert.equal(missing(['server …'], printed), [])
  })

  test('finds a changed line, a line that is not there, and a wrong order', () => {
    assert.equal(missing(['✓ start green …'], printed), ['✓ start green …'])
    assert.equal(missing(['✓ start'], printed), ['✓ start'])
    assert.equal(missing(['server …', '✓ start blue …'], printed), ['✓ start blue …'])
  })
})

describe('playing a runbook', ({ test }) => {
  test('keeps variables and functions from block to block, and puts in the values given', async () => {
    const text = `${fence}sh lab\nNAME=theirs\nsay() { echo nothing; }\n${fence}\n${fence}sh lab\nsay "$NAME"\n${fence}\n${fence}text\nours\n${fence}\n`
    const played = await play(parse('a.md', text), { NAME: 'ours', say: 'echo' })
    assert.is(played.at(-1)?.printed, 'ours\n')
  })

  test('replaces whole lines only', () => {
    assert.is(fill('A=1\nBA=2\necho "$A" A=3', { A: 'x' }), 'A=x\nBA=2\necho "$A" A=3')
  })

  test('a command that fails stops it there, with what it printed', async () => {
    const text = body('echo before; false\necho after', 'after')
    await rejects(() => play(parse('a.md', text), {}), /^a\.md:9 ended with 1\nbefore\n$/)
  })

  test('a command that prints something else fails it', async () => {
    const wrong = parse('a.md', body('echo one', 'two'))
    await rejects(() => play(wrong, {}), /^a\.md:9 did not print\ntwo\nbut\none\n$/)
  })

  test('answers what a block asks, and no other one', async () => {
    const text = `${fence}sh lab\nread -r word; echo "$word"\n${fence}\n${fence}sh lab\nread -r word || echo none\n${fence}\n`
    const played = await play(parse('a.md', text), {}, 60, { 'echo "$word"': 'ours\n' })
    assert.equal(
      played.map(({ printed }) => printed),
      ['ours\n', 'none\n'],
    )
  })

  test('manual blocks are not run', async () => {
    const text = body('echo one', 'one').replace(
      '## Verify',
      `${fence}sh manual\nexit 9\n${fence}\n## Verify`,
    )
    assert.is((await play(parse('a.md', text), {})).length, 1)
  })
})
