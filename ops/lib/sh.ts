/** A piece of POSIX shell whose values are already quoted. Only `sh` makes one. */
export class Script {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }

  toString(): string {
    return this.text
  }
}

export type Word = string | number | Script | readonly (string | number)[]

/** One POSIX word in single quotes, right for dash, bash and busybox alike (zx's own quoting is bash only). */
export function quote(word: string): string {
  if (word.includes('\0')) throw new TypeError('a NUL byte cannot stand in a shell word')
  return `'${word.replaceAll("'", `'\\''`)}'`
}

/**
 * Builds a shell script from a template. Each value becomes exactly one word, an array one word an item, a Script stays code.
 * @throws TypeError for a value that is empty, undefined or not a word, and for one placed where a quoted word would not stay one:
 *   inside quotes, backticks, a comment or a here-document, or right after `$` or a backslash
 */
export function sh(code: TemplateStringsArray, ...values: Word[]): Script {
  let text = ''
  code.forEach((piece, i) => {
    text += piece
    if (i >= values.length) return
    const value = values[i]
    const where = `value ${i + 1} after …${piece.slice(-30)}`
    const trap = value instanceof Script ? undefined : trapAtEnd(code.slice(0, i + 1).join('x'))
    if (trap) throw new TypeError(`${where}: it stands ${trap}`)
    text += render(value, where)
  })
  return new Script(text.trim())
}

/** Several scripts, one a line. */
export function lines(...scripts: (Script | undefined)[]): Script {
  return new Script(
    scripts
      .filter((script) => script !== undefined)
      .map(String)
      .join('\n'),
  )
}

function render(value: unknown, where: string): string {
  if (value instanceof Script) return value.text
  if (Array.isArray(value) && value.length > 0) return value.map((item) => render(item, where)).join(' ')
  if (typeof value === 'number' && Number.isFinite(value)) return quote(String(value))
  if (typeof value === 'string' && value !== '') return quote(value)
  throw new TypeError(`${where}: ${value === '' ? 'empty' : String(value)} is not a shell word`)
}

/** Why a quoted word could break out at the end of this code, in words; undefined where it cannot. */
function trapAtEnd(code: string): string | undefined {
  let open = ''
  for (let i = 0; i < code.length; i++) {
    const char = code[i] as string
    if (open === '#') open = char === '\n' ? '' : open
    else if (char === '\\' && open !== "'") {
      if (++i === code.length) return 'after a backslash'
    } else if (open) open = char === open ? '' : open
    else if (`'"\``.includes(char)) open = char
    else if (char === '#' && /(^|[\s;&|()])$/.test(code.slice(0, i))) open = '#'
    else if (/^<<[^<]/.test(code.slice(i, i + 3)) && code[i - 1] !== '<') return 'after a here-document'
  }
  if (open) return open === '#' ? 'in a comment' : 'inside quotes'
  return code.endsWith('$') ? 'after $' : undefined
}
