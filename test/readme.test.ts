/** The words of the repository against the repository: what README and runbooks name is there. */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import * as assert from 'uvu/assert'
import { exitCodes } from '../ops/lib/fail.ts'
import { names } from '../ops/lib/names.ts'
import { describe } from './describe.ts'

const read = (path: string) => readFileSync(path, 'utf8')
const readme = read('README.md')
const pages = ['README.md', ...readdirSync('runbooks').map((name) => `runbooks/${name}`)]
const scripts = readdirSync('ops').filter((name) => name.endsWith('.ts'))
const npmScripts = Object.keys(JSON.parse(read('package.json')).scripts)
const help = new Map(
  scripts.map((name) => [
    `ops/${name}`,
    execFileSync(process.execPath, ['--import', 'tsx', `ops/${name}`, '--help'], { encoding: 'utf8' }),
  ]),
)

/** Links and paths that a page names and that are not there. */
function lost(page: string, text: string): string[] {
  const links = [...text.matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)/g)].flatMap(
    ([, path = '', anchor]) => {
      const file = path === '' ? page : join(dirname(page), path)
      if (!existsSync(file)) return [file]
      return anchor && !anchors(read(file)).includes(anchor) ? [`${file}#${anchor}`] : []
    },
  )
  const paths = [...text.matchAll(/(?<![\w/.-])((?:ops|docker|cron|runbooks|test)\/[\w./-]*\w)/g)]
    .map(([, path = '']) => path)
    .filter((path) => !existsSync(path) && !existsSync(`${path}.ts`))
  return [...links, ...paths]
}

function anchors(text: string): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  )
}

/** Flags that a page gives to a script which does not know them. */
function strangeFlags(text: string): string[] {
  const calls = text.matchAll(/tsx (ops\/[\w-]+\.ts)([^\n`&|]*)/g)
  return [...calls].flatMap(([, script = '', rest = '']) =>
    (rest.match(/--[a-z-]+/g) ?? [])
      .filter((flag) => !new RegExp(`${flag}(?![\\w-])`).test(help.get(script) ?? ''))
      .map((flag) => `${script} ${flag}`),
  )
}

describe('README and runbooks', ({ test }) => {
  for (const page of pages) {
    test(`${page}: every link, path and script is there`, () => {
      assert.equal(lost(page, read(page)), [])
      const runs = [...read(page).matchAll(/npm run ([\w:]+)/g)].map(([, name = '']) => name)
      assert.equal(
        runs.filter((name) => !npmScripts.includes(name)),
        [],
      )
    })

    test(`${page}: every flag is in the --help of its script`, () => {
      assert.equal(strangeFlags(read(page)), [])
    })

    test(`${page}: every setting is in .env.example`, () => {
      const prefix = /_$/
      const words = read(page).match(/\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b_?/g) ?? []
      const own = /^(ENV_FILE|DATABASE_URL_FILE|ON_ERROR_STOP)$/
      const known = (word: string) =>
        own.test(word) ||
        (names as string[]).some((name) => (prefix.test(word) ? name.startsWith(word) : name === word))
      assert.equal(
        words.filter((word) => !known(word)),
        [],
      )
    })
  }

  test('what is not there is found', () => {
    assert.equal(lost('runbooks/a.md', '[a](b.md) [c](bad-deploy.md#no-such) ops/none.ts test/lab'), [
      'runbooks/b.md',
      'runbooks/bad-deploy.md#no-such',
      'ops/none.ts',
    ])
    assert.equal(strangeFlags('npx tsx ops/deploy.ts --roll --rollback --env x'), ['ops/deploy.ts --roll'])
  })
})

describe('README.md', ({ test }) => {
  test('has fewer than 200 lines', () => {
    assert.ok(readme.split('\n').length < 200)
  })

  test('has the exit codes that the scripts have', () => {
    const table = readme.slice(readme.indexOf('| exit code |'), readme.indexOf('## The house'))
    const rows = [...table.matchAll(/^\| ([\d, ]+) \| ([^|]+) \|$/gm)]
    const codes = rows.flatMap(([, found = '']) => found.split(', ').map(Number))
    assert.equal(codes, [...Object.values(exitCodes), 130, 143])
    const said = help.get('ops/deploy.ts')?.replaceAll('\n', ' ') ?? ''
    for (const [, found = '', meaning = ''] of rows)
      assert.ok(
        said.replace(/ +/g, ' ').includes(`${found.replace(', ', '/')} ${meaning.split(':')[0]?.trim()}`),
        `${found} ${meaning}`,
      )
  })

  test('has every script in its table, and none that is not there', () => {
    const rows = [...readme.matchAll(/^\| \[ops\/([\w-]+\.ts)\]/gm)].map(([, name = '']) => name)
    assert.equal(rows.sort(), scripts.sort())
  })

  test('has the modes and files of secrets as the scripts write them', () => {
    const sources = ['files', 'backup-files'].map((name) => read(`ops/lib/${name}.ts`)).join('')
    for (const [, path = ''] of readme.matchAll(/`env\/([\w./-]+?)\/?`/g))
      assert.ok(sources.includes(`${path}'`) || sources.includes(`/${path}\``), path)
  })

  test("has a migrator made of the fixture's lines", () => {
    const fixture = read('test/fixtures/everyskill/packages/db/migrate.mjs')
    const example = /```js\n([\s\S]*?)```/.exec(readme)?.[1]?.split('\n') ?? []
    const same = example.filter((line) => /^(import|await migrate)/.test(line))
    assert.is(same.length, 6)
    for (const line of same) assert.ok(fixture.includes(line), line)
  })

  test('gives the commands that continuous integration runs', () => {
    assert.match(readme, /^npm ci && npm test$/m)
    assert.match(read('.ci/run'), /^npm ci\nnpm test$/m)
  })
})
