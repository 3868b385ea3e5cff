import { setTimeout as sleep } from 'node:timers/promises'
import { operator } from './audit.ts'
import { outcomeOf } from './fail.ts'
import type { Host } from './host.ts'
import { withLock } from './lock.ts'
import type { Session } from './session.ts'

/** Seconds after which the lock of a caller who is silent goes, a quarter of it; and how often it is asked for again. */
const beat = 5
const tries = 8

/**
 * Does work in the rescue system that nobody else does at the same time. A connection that broke off a moment ago holds the
 * lock for some seconds more: those are waited for.
 * @throws Fail `locked` when somebody else is at it
 */
export async function aloneInRescue<T>(host: Host, session: Session, work: () => Promise<T>): Promise<T> {
  const claim = { who: operator(), what: 'provision-luks', name: 'luks' }
  let begun = false
  for (let left = tries; ; left--) {
    try {
      return await withLock(
        host,
        session,
        claim,
        () => {
          begun = true
          return work()
        },
        beat,
      )
    } catch (error) {
      if (begun || left === 0 || outcomeOf(error) !== 'locked') throw error
      if (left === tries) session.say(`  ${(error as Error).message}: waiting`)
      await sleep(beat * 1000)
    }
  }
}
