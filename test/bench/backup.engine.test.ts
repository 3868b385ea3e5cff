/** The bench of the backup as a whole, on small databases: what it measures is there, and what it restores is verified. */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import * as assert from 'uvu/assert'
import { describe } from '../describe.ts'
import { build } from '../docker/world.ts'
import { $, ROOT, text } from '../lab/shell.ts'

/** Runs `npm run bench --` as an operator would. */
function bench(args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn('npm', ['run', '--silent', 'bench', '--', ...args], { cwd: ROOT })
    const run = { code: -1, stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (part: string) => {
        run[name] += part
      })
    }
    child.on('error', reject)
    child.on('close', (code) => resolve({ ...run, code: code ?? -1 }))
  })
}

/** Every number in a value, with its path. */
function numbers(value: unknown, path = ''): [string, number][] {
  if (typeof value === 'number') return [[path, value]]
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) => numbers(inner, `${path}.${key}`))
}

describe('npm run bench -- backup --quick', ({ test, before }) => {
  let run: Awaited<ReturnType<typeof bench>>
  let found: Record<string, unknown> & { sizes: Record<string, unknown>[] }
  before(
    async () => {
      run = await bench(['backup', '--quick', '--image', await build('postgres')])
      assert.is(run.code, 0, run.stderr)
      found = JSON.parse(readFileSync('.lab/bench/backup-quick.json', 'utf8'))
    },
    { timeout: 900_000 },
  )

  test('writes the seed, ours and the ratios between them, and says that it proves nothing', () => {
    assert.equal(Object.keys(found).slice(0, 4), ['seed', 'ours', 'ratios', 'sizes'])
    const names = ['fullCpuPerGb', 'incrementalBytes', 'restoreWithIndex', 'storage90d', 'dumpCpu']
    assert.equal(Object.keys(found.ratios as object), names)
    assert.equal(
      found.sizes.map(({ vectors }) => vectors),
      [500, 1000, 2000],
    )
    assert.is(found.quick, true)
    assert.match(run.stdout, /^Quick run on small databases/)
  })

  test('has a number above 0 for everything', () => {
    const all = numbers(found)
    assert.ok(all.length > 100, `${all.length} numbers`)
    assert.equal(
      all.filter(([, value]) => !(value > 0)),
      [],
    )
  })

  test('found in both restored databases the rows that were backed up', () => {
    for (const { rows, accounts, documents, vectors } of found.sizes) {
      const changed = Number(documents) / 100
      assert.match(
        String(rows),
        new RegExp(`^${accounts}\\|${documents}\\|${vectors}\\|${changed}\\|.*\\|1$`),
      )
    }
  })

  test('draws both lines, and leaves nothing behind', async () => {
    const svg = readFileSync('.lab/bench/backup-quick.svg', 'utf8')
    assert.is(svg.match(/>(seed|ours)<\/text>/g)?.length, 6)
    assert.not.match(svg, /NaN|Infinity|undefined/)
    for (const kind of ['container', 'volume'])
      assert.is(await text($`docker ${kind} ls -q --filter label=everyskill.bench`), '')
  })
})

describe('npm run bench', ({ test }) => {
  test('knows no other word and no other flag: exit code 2', async () => {
    for (const args of [[], ['no-such'], ['backup', 'twice'], ['backup', '--fast']]) {
      const { code, stderr } = await bench(args)
      assert.is(code, 2, `${args}: ${stderr}`)
      assert.match(stderr, /^error: /)
    }
  })

  test('needs an image that is there', async () => {
    const { code, stderr } = await bench(['backup', '--quick', '--image', 'everyskill-bench/none'])
    assert.is(code, 2)
    assert.match(stderr, 'no such image on this machine')
  })
})
