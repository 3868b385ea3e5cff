/** A runbook as its reader uses it: blocks of commands, each with what it should print. */
import { readFileSync } from 'node:fs'

/** One fenced block of commands. */
export type Block = {
  /** The line of its first command in the file. */
  line: number
  /** `lab`: a test runs it; `manual`: it needs a person, a web page or a real server. */
  kind: string
  code: string
  /** The lines of the text block under it; empty if there is none. */
  expected: string[]
}

export type Runbook = { file: string; text: string; headings: string[]; blocks: Block[] }

/** What every runbook has, in this order. */
export const headings = ['Situation', 'Impact', 'You need', 'Steps', 'Verify', 'Roll back', 'Escalate']

export function readRunbook(file: string): Runbook {
  return parse(file, readFileSync(file, 'utf8'))
}

/** @throws when a fence is not closed, or a text block stands under no commands */
export function parse(file: string, text: string): Runbook {
  const blocks: Block[] = []
  const found: string[] = []
  const lines = text.split('\n')
  for (let i = 0; i < lines.length; i++) {
    const heading = /^## (.+)$/.exec(lines[i] ?? '')?.[1]
    if (heading) found.push(heading)
    const info = /^```(.*)$/.exec(lines[i] ?? '')?.[1]
    if (info === undefined) continue
    const end = lines.indexOf('```', i + 1)
    if (end < 0) throw new Error(`${file}:${i + 1}: the block is not closed`)
    const body = lines.slice(i + 1, end)
    const [language = '', kind = ''] = info.split(' ')
    if (language === 'text') {
      const above = blocks.at(-1)
      if (!above || above.expected.length > 0) throw new Error(`${file}:${i + 1}: output of no command`)
      above.expected = body
    } else
      blocks.push({ line: i + 2, kind: language === 'sh' ? kind : info, code: body.join('\n'), expected: [] })
    i = end
  }
  return { file, text, headings: found, blocks }
}

/** The line of unlock-after-reboot.md that unlocks by hand, with the key and the known_hosts file of one custodian. */
export function byHandOf({ file, blocks }: Runbook, key: string, knownHosts: string): string {
  const line = /^by_hand\(\) \{ (.*); \}$/m.exec(blocks[0]?.code ?? '')?.[1] ?? ''
  const [program, pin] = ['ssh -t ', '=unlock_known_hosts ']
  if (!line.startsWith(program) || !line.includes(pin))
    throw new Error(`${file} has another by_hand: ${line}`)
  return line.replace(program, `${program}-i ${key} -o IdentitiesOnly=yes `).replace(pin, `=${knownHosts} `)
}

/** What is wrong with the form of a runbook, by the conventions of runbooks/README.md. */
export function problemsOf({ headings: found, blocks }: Runbook): string[] {
  const wrong = blocks.filter(({ kind }) => kind !== 'lab' && kind !== 'manual')
  const prompts = blocks.filter(({ code }) => /^[$#>] /m.test(code))
  const lab = blocks.filter(({ kind }) => kind === 'lab')
  return [
    ...(found.join() === headings.join() ? [] : [`its headings are ${found.join(', ')}`]),
    ...wrong.map(({ line }) => `line ${line}: a block is neither sh lab nor sh manual`),
    ...prompts.map(({ line }) => `line ${line}: a prompt or a comment would be pasted with the command`),
    ...(lab.length > 0 ? [] : ['the lab runs none of it']),
    ...(lab.some(({ expected }) => expected.length > 0) ? [] : ['none of its commands says what it prints']),
  ]
}

/**
 * The lines that should have been printed and were not, in their order. `…` stands for anything; a line that is `…` alone for any
 * line; lines that are printed between them do not matter, nor does how wide the columns are.
 */
export function missing(expected: readonly string[], printed: string): string[] {
  const left = printed.split('\n').map(narrow)
  return expected.filter((line) => {
    const parts = narrow(line)
      .split('…')
      .map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
    const at = left.findIndex((text) => new RegExp(`^${parts.join('.*')}$`).test(text))
    if (at >= 0) left.splice(0, at + 1)
    return at < 0
  })
}

const narrow = (line: string) => line.trim().replace(/\s+/g, ' ')
