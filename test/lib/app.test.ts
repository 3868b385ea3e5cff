import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { problemsOf } from '../../ops/lib/app.ts'
import { describe } from '../describe.ts'

const fixture = join(import.meta.dirname, '../fixtures/everyskill')

describe('app', ({ test, beforeEach, afterEach }) => {
  let dir = ''
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'app-'))
    cpSync(fixture, dir, { recursive: true, filter: (path) => !/node_modules|\.next|\.turbo/.test(path) })
  })
  afterEach(() => rmSync(dir, { recursive: true, force: true }))

  const edit = (file: string, change: (text: string) => string) => {
    const path = join(dir, file)
    const text = readFileSync(path, 'utf8')
    assert.is.not(change(text), text, `the edit of ${file} changes nothing`)
    writeFileSync(path, change(text))
  }
  const only = (pattern: RegExp) => {
    const problems = problemsOf(dir, 22)
    assert.is(problems.length, 1, problems.join('\n'))
    assert.match(problems[0] ?? '', pattern)
  }

  test('the fixture can be built', () => assert.equal(problemsOf(dir, 22), []))

  test('an empty folder is no app', () => {
    rmSync(dir, { recursive: true })
    only(/no package\.json.*--app DIR/)
  })

  test('names each line that next.config.ts lacks', () => {
    edit('apps/web/next.config.ts', (text) => text.replace(/output:.*/, ''))
    only(/output: "standalone"/)
    edit('apps/web/next.config.ts', (text) =>
      text.replace(/outputFileTracingRoot:.*/, '').replace(/"?'?@everyskill\/db"?'?,?/, ''),
    )
    const problems = problemsOf(dir, 22).join('\n')
    assert.match(problems, /outputFileTracingRoot[\s\S]*transpilePackages lacks @everyskill\/db/)
  })

  test('refuses import.meta in next.config.ts', () => {
    edit('apps/web/next.config.ts', (text) => text.replace('process.cwd()', 'import.meta.dirname'))
    only(/import\.meta/)
  })

  test('wants the health route and its exemption', () => {
    rmSync(join(dir, 'apps/web/app/api/health'), { recursive: true })
    only(/health\/route\.ts is missing/)
  })

  test('takes proxy.ts or middleware.ts, not both, and wants the health route exempt', () => {
    writeFileSync(
      join(dir, 'apps/web/middleware.ts'),
      'export const config = { matcher: ["/((?!api/health).*)"] }',
    )
    only(/both middleware\.ts and proxy\.ts/)
    rmSync(join(dir, 'apps/web/proxy.ts'))
    assert.equal(problemsOf(dir, 22), [])
    writeFileSync(join(dir, 'apps/web/middleware.ts'), 'export const config = { matcher: ["/:path*"] }')
    only(/middleware\.ts does not exempt/)
  })

  test('wants the lock file, the package manager and the migrator', () => {
    rmSync(join(dir, 'pnpm-lock.yaml'))
    only(/pnpm-lock\.yaml/)
    edit('package.json', (text) => text.replace(/"packageManager":\s*"[^"]*",?/, ''))
    rmSync(join(dir, 'packages/db/migrate.mjs'))
    assert.match(problemsOf(dir, 22).join('\n'), /packageManager[\s\S]*migrate\.mjs/)
  })

  test('compares the Node engine with the image', () => {
    const engine = (node: string) =>
      writeFileSync(
        join(dir, 'package.json'),
        JSON.stringify({ packageManager: 'pnpm@9.15.0', engines: { node } }),
      )
    engine('>=20')
    assert.equal(problemsOf(dir, 22), [])
    engine('^24.1.0')
    only(/wants Node \^24\.1\.0, the image has 22/)
    for (const judgedByPnpm of ['*', '20.x || 22.x', '<23', '>=20 <23']) {
      engine(judgedByPnpm)
      assert.equal(problemsOf(dir, 22), [], judgedByPnpm)
    }
    engine('22.x')
    assert.equal(problemsOf(dir, 22), [])
  })

  test('names a package.json that is not JSON', () => {
    writeFileSync(join(dir, 'apps/web/package.json'), '{')
    only(/apps\/web\/package\.json is not JSON/)
  })
})
