import { noteCaddy } from './caddy.ts'
import { liveColours, removeColour, setLive, smokeInside, startColour, switchTo } from './colours.ts'
import type { Colour } from './compose.ts'
import { undoing } from './fail.ts'
import type { Host } from './host.ts'
import type { Session } from './session.ts'
import { below, get, type Site, waitFor } from './site.ts'
import { ensure } from './stack.ts'

export interface Rollout {
  server: Host
  session: Session
  site: Site
  /** Whether Caddy may be restarted when its image or settings changed. */
  restartCaddy: boolean
}

/** How long the new colour is watched after the switch while the old one can still take over, seconds. */
const watchSeconds = 5
/** A first certificate by DNS-01 takes the propagation delay and some more, seconds. */
const certificateSeconds = 300

/** The colour that serves. A deploy that was killed in the middle of a switch leaves two ready; the one that served stays. */
export async function settle({ server, session }: Rollout): Promise<Colour | undefined> {
  const [live, other] = await liveColours(server)
  if (live && other) await session.step(`settle on ${live}`, () => setLive(server, [live]))
  return live
}

/** Starts the idle colour and proves it from inside. If it fails it is gone again; the live colour has noticed nothing. */
export async function bringUp({ server, session, site }: Rollout, colour: Colour): Promise<void> {
  await session.step(`start ${colour}`, () => startColour(server, colour))
  try {
    await session.step(`prove ${colour} from inside`, () => smokeInside(server, colour, site.name, '/'))
  } catch (error) {
    await undoing(error, () => removeColour(server, colour))
  }
}

/** The first release: nothing serves yet, so nothing can be switched or undone. */
export async function goLive({ server, session, site }: Rollout, colour: Colour): Promise<void> {
  await session.step(`${colour} takes requests`, () => setLive(server, [colour]))
  await session.step('caddy runs', () => ensure(server, session, 'caddy', true))
  await noteCaddy(server)
  if (session.dryRun) return
  await session.step('the site answers over HTTPS', () => certified(site))
}

/**
 * Moves requests from the live colour to the new one, watches it from outside over HTTPS, then stops the old one by id.
 * Until the watch ends the old one still runs: any failure moves the requests back to it and removes the new one.
 * @param proven called once the new one is proven, before the old one is stopped
 */
export async function changeOver(
  rollout: Rollout,
  live: Colour,
  next: Colour,
  proven: () => Promise<void>,
): Promise<void> {
  const { server, session, site } = rollout
  await session.step('caddy runs', () => ensure(server, session, 'caddy', rollout.restartCaddy))
  await noteCaddy(server)
  const serves = await get(site, '/').then(
    ({ status }) => status < 400,
    () => false,
  )
  try {
    await session.step(`requests move from ${live} to ${next}`, () => switchTo(server, live, next))
    if (!session.dryRun) await session.step(`watch ${next} over HTTPS`, () => watch(site, serves))
  } catch (error) {
    await undoing(error, async () => {
      await session.step(`requests move back to ${live}`, () => switchTo(server, next, live))
      await removeColour(server, next)
    })
  }
  // --- from here on the way back is deploy --rollback ---
  await proven()
  await session.step(`stop ${live}`, () => removeColour(server, live))
}

/** A site that served before must go on without an error, though a new process may be slow at first under load; one that did not gets the time for its certificate. */
async function watch(site: Site, served: boolean): Promise<void> {
  if (!served) await certified(site)
  const end = Date.now() + watchSeconds * 1000
  while (Date.now() < end) await waitFor(site, '/', { seconds: 3, slow: 30 })
}

/** Both certificates are there: the domain's, and the wildcard's, under which any answer will do. */
async function certified(site: Site): Promise<void> {
  await waitFor(site, '/', { seconds: certificateSeconds })
  await waitFor(below(site), '/', { seconds: certificateSeconds, accepts: () => true })
}
