import { setTimeout as sleep } from 'node:timers/promises'
import { Fail } from './fail.ts'
import type { Host } from './host.ts'
import type { Session } from './session.ts'
import { shipRound } from './shipping.ts'
import type { Box } from './storagebox.ts'

/** Seconds between two rounds; every so many rounds, once an hour, everything is compared. */
const pause = 15
const rounds = 240

/**
 * Ships for ever, until the code and settings that it runs with are no longer the installed ones. A round that fails is tried again after the
 * pause; what is wrong is told once, and `backup status` sees it by what is missing on the box.
 * @param current what tells the installed code and settings from other ones
 */
export async function shipForEver(
  server: Host,
  session: Session,
  box: Box,
  current: () => string,
): Promise<void> {
  const mine = current()
  let told = ''
  for (let round = 0; current() === mine; round = (round + 1) % rounds) {
    try {
      await shipRound(server, session, box, round === 0)
      told = ''
    } catch (error) {
      if (!(error instanceof Fail)) throw error
      if (error.message !== told) session.say(error.message)
      told = error.message
      round = -1
    }
    await sleep(pause * 1000)
  }
}
