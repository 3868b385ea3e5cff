import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { lines, quote, Script, sh, type Word } from '../../ops/lib/sh.ts'
import { describe } from '../describe.ts'

const busyboxDir = join(import.meta.dirname, '../../.lab/cache/busybox')

/** The shells that a script may meet: a server's, Debian's /bin/sh, and that of the initramfs. */
const shells: Record<string, string[] | undefined> = {
  bash: ['bash'],
  dash: has('dash') ? ['dash'] : undefined,
  busybox: busybox(),
}

function has(program: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${program}`]).status === 0
}

/** busybox is a single file: where it is not installed, its package is unpacked under .lab. */
function busybox(): string[] | undefined {
  if (has('busybox')) return ['busybox', 'sh']
  const own = `${busyboxDir}/bin/busybox`
  if (!existsSync(own)) {
    const get = `mkdir -p ${busyboxDir}; cd ${busyboxDir} && apt-get download -qq busybox && dpkg -x busybox_*.deb .`
    spawnSync('sh', ['-c', get], { timeout: 30_000 })
  }
  return existsSync(own) ? [own, 'sh'] : undefined
}

/** The words that a shell sees when it reads the script; the script goes through a file, which has no limit of length. */
function wordsSeenBy(shell: string[], script: Script): string[] {
  const dir = mkdtempSync(join(tmpdir(), 'sh-test-'))
  try {
    writeFileSync(join(dir, 'script'), script.text)
    const [program = '', ...args] = [...shell, join(dir, 'script')]
    const ran = spawnSync(program, args, { encoding: 'utf8', timeout: 20_000, maxBuffer: 1 << 26, cwd: dir })
    if (ran.status !== 0)
      throw new Error(`${shell.join(' ')} ended with ${ran.status}: ${ran.stderr.slice(0, 500)}`)
    return ran.stdout.split('\0').slice(0, -1)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

const pieces = [
  ...`'"\`$\\*?[]{}()<>|&;!#~=%^,.:@+- \t\n\r`,
  ...['$(id)', '`id`', '${HOME}', '$$', '\\n', "'\\''", "$'a'", '&&', '<<EOF', '-rf', '--', '~root', '*/'],
  ...['a', 'Z', '0', 'ä', '€', '💥', '\u200b', '\u00a0', '\x01', '\x1b[31m', '\x7f'],
]

/** Random strings of what means something to a shell; the same ones for the same seed. */
function randomWords(count: number, seed: number): string[] {
  let state = seed
  const next = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  return Array.from({ length: count }, () =>
    Array.from({ length: 1 + next(8) }, () => pieces[next(pieces.length)]).join(''),
  )
}

describe('quote', ({ test }) => {
  for (const [name, shell] of Object.entries(shells)) {
    if (!shell) {
      test.skip(`${name} sees every word as it was`, `${name} cannot be had here: apt-get install ${name}`)
      continue
    }
    test(`${name} sees every word as it was`, () => {
      const seed = Date.now() % 1_000_000
      const words = [...pieces, ...randomWords(3000, seed)]
      const seen = wordsSeenBy(shell, sh`printf '%s\\0' ${words}`)
      const wrong = words.findIndex((word, i) => word !== seen[i])
      assert.is(
        wrong,
        -1,
        `seed ${seed}: ${JSON.stringify(words[wrong])} became ${JSON.stringify(seen[wrong])}`,
      )
      assert.is(seen.length, words.length)
    })

    test(`${name} sees them so through two more shells, as over ssh`, () => {
      const words = randomWords(200, 7)
      const outer = [...shell, '-c', sh`printf '%s\\0' ${words}`.text]
      assert.equal(wordsSeenBy(shell, sh`${[...shell, '-c', sh`${outer}`.text]}`), words)
    })
  }

  test('refuses a NUL, which no word can hold', () => {
    assert.throws(() => quote('a\0b'), /NUL/)
  })
})

describe('sh', ({ test }) => {
  const wrong = (value: unknown) => () => sh`rm -rf /srv/${value as Word}/data`

  test('makes one word of a value, several of an array, digits of a number', () => {
    assert.is(sh`cp ${'a b'} ${['c', "d'e", 7]} ${8}`.text, "cp 'a b' 'c' 'd'\\''e' '7' '8'")
  })

  test('lets a script stay code', () => {
    const inner = sh`cat ${'a b'}`
    assert.is(
      sh`if ${inner}; then ${sh`echo "$x" ${inner}`}; fi`.text,
      `if cat 'a b'; then echo "$x" cat 'a b'; fi`,
    )
    assert.is(sh`echo "$(${inner})"`.text, `echo "$(cat 'a b')"`)
  })

  test('joins scripts, one a line, leaving out what is not there', () => {
    assert.is(lines(sh`a ${1}`, undefined, sh`b`).text, "a '1'\nb")
  })

  test('has room for a value at the end of a longer word', () => {
    assert.is(sh`docker run --name=${'x y'} -v ${'a'}:/b`.text, "docker run --name='x y' -v 'a':/b")
  })

  for (const [name, value] of Object.entries({
    undefined: undefined,
    null: null,
    'an empty string': '',
    NaN: Number.NaN,
    Infinity: Number.POSITIVE_INFINITY,
    true: true,
    'an object': {},
    'an empty array': [],
    'an array with a hole': ['a', undefined],
    'an array with an empty string': ['a', ''],
    'a function': () => 'x',
  })) {
    test(`refuses ${name}`, () => {
      assert.throws(wrong(value), /value 1 after …rm -rf \/srv\/.* is not a shell word/)
    })
  }

  const x = "'; id; '"
  const traps: Record<string, [() => Script, RegExp]> = {
    'inside single quotes': [() => sh`echo '${x}'`, /inside quotes/],
    'inside double quotes': [() => sh`echo "a ${x}"`, /inside quotes/],
    'inside double quotes that hold an escaped one': [() => sh`echo "a \\" ${x}"`, /inside quotes/],
    'inside single quotes after a backslash that is none': [() => sh`echo 'a\\'b' ${x}'`, /inside quotes/],
    'inside double quotes after a value outside': [() => sh`echo ${x} "a ${x}"`, /value 2 .*inside quotes/],
    'inside backticks': [() => sh`echo \`cat ${x}\``, /inside quotes/],
    'after a dollar, which makes it another kind of quote': [() => sh`echo $${x}`, /after \$/],
    'after a backslash': [() => sh`echo a\\${x}`, /after a backslash/],
    'in a comment': [() => sh`true # about ${x}`, /in a comment/],
    'in a here-document': [() => sh`cat <<EOF\n${x}\nEOF`, /after a here-document/],
  }
  for (const [where, [build, message]] of Object.entries(traps)) {
    test(`refuses a value ${where}`, () => assert.throws(build, message))
  }

  test('takes values beside quotes, comments and here-strings', () => {
    assert.is(
      sh`echo "it's" ${'a'} 'say "x"' ${'b'} \\' ${'c'}`.text,
      `echo "it's" 'a' 'say "x"' 'b' \\' 'c'`,
    )
    assert.is(sh`# don't\necho ${'a'} a#b ${'b'} "$#" ${'c'}`.text, `# don't\necho 'a' a#b 'b' "$#" 'c'`)
    assert.is(sh`cat <<< ${'a'}; echo ${'b'}`.text, "cat <<< 'a'; echo 'b'")
  })

  test('never quotes the refused value in the message', () => {
    try {
      sh`echo "${'s3cret-value'}"`
      assert.unreachable()
    } catch (error) {
      assert.not.match((error as Error).message, /s3cret/)
    }
  })

  test('only a Script stays code, not an object that looks like one', () => {
    assert.throws(wrong({ text: 'id' }), /not a shell word/)
    assert.instance(sh`true`, Script)
  })
})
