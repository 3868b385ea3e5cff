import { Fail } from './fail.ts'
import { keepSecret } from './redact.ts'
import type { Session } from './session.ts'

/** What came on stdin after the last line that was taken. */
let rest = ''

/** What a dry run takes for a passphrase: it asks nobody, and runs nothing that would need one. */
const unasked = 'a passphrase that a dry run does not ask for'

/**
 * Asks for a secret: at a terminal without showing it, else it is the next line of stdin. One newline ends it and is no part
 * of it. What is answered is hidden in all output from then on.
 * @param twice a new one: asked for again at a terminal, where a slip of the finger cannot be seen
 * @throws Fail `refused` when there is nobody to answer, or the two differ
 */
export async function askSecret(
  session: Session,
  question: string,
  { twice = false }: { twice?: boolean } = {},
): Promise<string> {
  if (session.dryRun) return unasked
  const answer = await ask(session, question)
  if (twice && process.stdin.isTTY && (await ask(session, `${question}, again`)) !== answer)
    throw new Fail('refused', 'The two passphrases differ. Nothing was changed.')
  keepSecret('passphrase', answer)
  return answer
}

/**
 * What follows the last answer would be a second line of it: pasted, or in the file on stdin.
 * @throws Fail `usage`
 */
export function refuseMoreLines(): void {
  if (rest === '') return
  rest = ''
  throw new Fail('usage', 'there is more than one line: a passphrase is one. Nothing was sent.')
}

async function ask(session: Session, question: string): Promise<string> {
  const input = process.stdin
  if (!input.isTTY) return nextLine(question, (text) => piped(text))
  const cooked = () => input.setRawMode(false)
  session.atEnd(cooked)
  input.setRawMode(true)
  process.stderr.write(`${question}: `)
  try {
    return await nextLine(question, typed)
  } finally {
    cooked()
    process.stderr.write('\n')
  }
}

/** A line taken from text; undefined while it has not ended. `end`: nobody will answer, or somebody pressed Ctrl-C. */
type Taken = { line: string; rest: string } | 'end' | 'interrupt' | undefined

function piped(text: string): Taken {
  const end = text.indexOf('\n')
  return end < 0 ? undefined : { line: text.slice(0, end), rest: text.slice(end + 1) }
}

/** The line that keys make at a terminal in raw mode, which sends them as they are pressed. */
export function typed(keys: string): Taken {
  let line = ''
  for (const [i, key] of [...keys].entries()) {
    if (key === '\r' || key === '\n') return { line, rest: [...keys].slice(i + 1).join('') }
    if (key === '\x03') return 'interrupt'
    if (key === '\x04') return 'end'
    if (key === '\x7f' || key === '\b') line = [...line].slice(0, -1).join('')
    else if (key === '\x15') line = ''
    else line += key
  }
  return undefined
}

function nextLine(question: string, take: (text: string) => Taken): Promise<string> {
  const input = process.stdin
  return new Promise((done, fail) => {
    const refuse = () => leave(() => fail(new Fail('refused', `Nobody answered: ${question}.`)))
    const ended = () => {
      // A last line without its newline is a line.
      const last = rest
      rest = ''
      if (last === '' || input.isTTY) refuse()
      else leave(() => done(last))
    }
    const look = () => {
      const taken = take(rest)
      if (taken === 'interrupt') process.kill(process.pid, 'SIGINT')
      else if (taken === 'end') refuse()
      else if (taken) {
        rest = taken.rest
        leave(() => done(taken.line))
      } else return false
      return true
    }
    const more = (text: string) => {
      rest += text
      look()
    }
    const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
    function leave(settle: () => void): void {
      input.pause().off('data', more).off('end', ended)
      for (const signal of signals) process.off(signal, refuse)
      settle()
    }
    for (const signal of signals) process.on(signal, refuse)
    input.setEncoding('utf8').on('data', more).on('end', ended)
    if (!look()) {
      if (input.readableEnded) ended()
      else input.resume()
    }
  })
}
