/** The rules of the house, held by reading every file. */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import * as assert from 'uvu/assert'
import { describe } from './describe.ts'
import { walk } from './harness/find.ts'

const files = walk('.', (path) => path === 'test/fixtures/everyskill/node_modules')
const sources = files.filter(
  (path) => /^(ops|test)\/.*\.[cm]?ts$/.test(path) && !path.startsWith('test/fixtures/'),
)
const scripts = sources.filter((path) => /^ops\/[^/]+\.ts$/.test(path))
const lib = sources.filter((path) => path.startsWith('ops/lib/'))
const read = (path: string) => readFileSync(path, 'utf8')

/** The modules that a file imports: relative ones as paths from the root, packages as they are written. */
function imports(path: string): string[] {
  const found = read(path).matchAll(
    /^\s*(?:import|export)\b[^'"`;]*?from\s*'([^']+)'|\bimport\s*\(?\s*'([^']+)'/gm,
  )
  return [...found].map((match) => {
    const name = match[1] ?? match[2] ?? ''
    return name.startsWith('.') ? normalize(join(dirname(path), name)) : name
  })
}

/** `path:line: text` of every line that matches. */
function lines(paths: string[], pattern: RegExp): string[] {
  return paths.flatMap((path) =>
    read(path)
      .split('\n')
      .flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [])),
  )
}

/** The first import cycle that can be reached from a file, as the files in it. */
function cycle(path: string, trail: string[] = [], done = new Set<string>()): string[] | undefined {
  if (trail.includes(path)) return [...trail.slice(trail.indexOf(path)), path]
  if (done.has(path) || !existsSync(path)) return undefined
  done.add(path)
  for (const next of imports(path).filter((name) => sources.includes(name))) {
    const found = cycle(next, [...trail, path], done)
    if (found) return found
  }
  return undefined
}

/** Fails with the rule and every place that breaks it. */
function none(found: string[], rule: string): void {
  if (found.length > 0) assert.unreachable([rule, ...found].join('\n      '))
}

describe('the house', ({ test }) => {
  test('is read as a whole', () => {
    assert.ok(sources.includes('test/tree.test.ts') && lib.length > 0, sources.join('\n'))
    assert.ok(imports('test/tree.test.ts').includes('test/describe.ts'))
    assert.equal(lines(['test/tree.test.ts'], /^const scripts /).length, 1)
  })

  test('nothing imports a script', () => {
    const wrong = sources.filter((path) => imports(path).some((name) => scripts.includes(name)))
    none(wrong, 'scripts stand alone; what two need belongs in ops/lib')
  })

  test('the operator scripts do not depend on tests or development packages', () => {
    const { devDependencies } = JSON.parse(read('package.json'))
    const foreign = (name: string) => name.startsWith('test/') || name in devDependencies
    none(
      [...scripts, ...lib].filter((path) => imports(path).some(foreign)),
      'the server has neither',
    )
  })

  test('there is no import cycle', () => {
    for (const path of sources) assert.is(cycle(path)?.join(' -> '), undefined)
  })

  test('scripts have at most 200 lines, files of ops/lib at most 140', () => {
    const long = (paths: string[], most: number) =>
      paths
        .map((path) => ({ path, length: read(path).trimEnd().split('\n').length }))
        .filter(({ length }) => length > most)
        .map(({ path, length }) => `${path} has ${length} lines, at most ${most} are wanted`)
    none([...long(scripts, 200), ...long(lib, 140)], 'too long')
  })

  test('only ops/lib/cli.ts ends the process', () => {
    const others = [...scripts, ...lib].filter((path) => path !== 'ops/lib/cli.ts')
    none(lines(others, /^[^'`"]*\bprocess\.exit\(/), 'a script ends by returning or throwing')
  })

  test("zx's traps are not used", () => {
    const zx = /import\s[^'"]*\b(argv|question|spinner|cd|within|dotenv)\b[^'"]*from 'zx/s
    const wrong = [...scripts, ...lib].filter((path) =>
      read(path)
        .split(/(?=^import\b)/m)
        .some((part) => zx.test(part)),
    )
    none(wrong, 'argv, question, spinner, cd, within and dotenv of zx misbehave')
  })

  test('tests register through test/describe.ts', () => {
    const tests = sources.filter((path) => path.endsWith('.test.ts') && !path.includes('/fixtures/'))
    none(
      tests.filter((path) => !imports(path).includes('test/describe.ts') || imports(path).includes('uvu')),
      'a test that uvu runs alone can be falsely green',
    )
  })
})

describe('every file of the repository', ({ test }) => {
  const text = files.filter((path) => !/\.(png|ico|jpg|woff2?)$/.test(path))

  test('gives no password on a command line', () => {
    none(lines(text, /\bdocker login\b.* -p\b|\bsshpass +-p/), 'a password in argv')
  })

  test('no pipe ends in a grep that stops reading: under pipefail what writes into it then fails, sometimes', () => {
    const code = [
      ...lib,
      ...scripts,
      ...files.filter((path) => /^(cron|docker|runbooks|test\/lab)\//.test(path)),
    ]
    none(lines(code, /\|\s*grep\s+(-\w+\s+)*-\w*q/), 'a false no')
  })

  test('names no path of the machine it was written on', () => {
    none(lines(text, new RegExp(['/wo' + 'rk/', '/tmp/ba' + 'sh_jobs'].join('|'))), 'machine paths')
  })

  test('names no package registry', () => {
    const hosts = ['registry\\.np' + 'mjs', 'registry\\.yar' + 'npkg', 'npm' + '\\.pkg\\.'].join('|')
    none(lines(text, new RegExp(hosts)), 'registries are the business of the machine')
    const locks = files.filter((path) => /(package-lock\.json|pnpm-lock\.yaml)$/.test(path))
    assert.ok(locks.includes('package-lock.json'))
    none(lines(locks, /"resolved": *"http|tarball: *http/), 'lock files that hold hosts')
  })
})
