import type { Host } from './host.ts'
import { paths } from './paths.ts'
import { redact } from './redact.ts'
import type { Session } from './session.ts'
import { stateIn } from './state.ts'

const file = `${paths.shipping}/watch.json`
/** The same problems are told again after so long. */
const again = 12 * 3_600_000

/** What the last look left behind, for the next one and for \`status\`. */
export interface Watch {
  at: string
  problems: string[]
  /** What was told last, and when; undefined: nothing was ever told. */
  told: { at: string; text: string } | undefined
  /** Why the last alert could not be delivered. */
  undelivered: string | undefined
}

/** What the last look left; undefined: there was none. */
export function lastWatch(server: Host): Promise<Watch | undefined> {
  return stateIn<Watch>(server, file)
}

/**
 * Writes down what a look found and posts it to the alert address when it is news: other problems than before, the same
 * ones half a day later, or their end.
 */
export async function report(
  server: Host,
  session: Session,
  look: { at: string; problems: string[] },
  url: string | undefined,
): Promise<Watch> {
  const before = await lastWatch(server)
  const text = look.problems.join('\n')
  const due = news(before, look, text)
  const watch: Watch = {
    at: look.at,
    problems: look.problems,
    told: before?.told,
    undelivered: before?.undelivered,
  }
  if (due && url && !session.dryRun) {
    watch.undelivered = await post(
      url,
      `EverySkill backups on ${server.name}:\n${text || 'all is well again'}`,
    )
    if (!watch.undelivered) watch.told = { at: look.at, text }
  }
  await server.put(file, `${JSON.stringify(watch, null, 2)}\n`)
  return watch
}

function news(before: Watch | undefined, look: { at: string }, text: string): boolean {
  const told = before?.told
  if (before?.undelivered) return true
  if (!told) return text !== ''
  // Figures in a text change with every look; a problem is the same while its words are.
  const words = (one: string) => one.replace(/\d+(\.\d+)?/g, '#')
  if (words(told.text) !== words(text)) return true
  return text !== '' && Date.parse(look.at) - Date.parse(told.at) > again
}

/** Posts a text to the alert address, redacted. @returns why it was not delivered; undefined: it was */
export async function post(url: string, body: string): Promise<string | undefined> {
  try {
    const answer = await fetch(url, {
      method: 'POST',
      body: redact(body),
      signal: AbortSignal.timeout(15_000),
    })
    return answer.ok ? undefined : `the alert address answered ${answer.status}`
  } catch (error) {
    return redact(`the alert address does not answer: ${(error as Error).cause ?? (error as Error).message}`)
  }
}
