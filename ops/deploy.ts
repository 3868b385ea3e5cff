/**
 * Puts a release on the server without dropping a request: ships its images, migrates, starts the idle colour, proves it,
 * moves requests to it, watches it, stops the old one. Any failure before the switch leaves the old colour serving.
 * It never removes data and never undoes a migration. Before it: ops/build.ts. When it goes wrong: runbooks/.
 */
import { resolve } from 'node:path'
import { checkout } from './lib/app.ts'
import { audit, operator } from './lib/audit.ts'
import { type Call, main } from './lib/cli.ts'
import { liveColours, removeColour, setLive, smokeInside, startColour, switchTo } from './lib/colours.ts'
import { type Colour, otherThan } from './lib/compose.ts'
import { pathIn, readEnv } from './lib/env.ts'
import { Fail } from './lib/fail.ts'
import { artefactFiles, composeEnv, fileNames, secretFiles } from './lib/files.ts'
import { hostNames, serverOf } from './lib/host.ts'
import { imageOf, inspect, refuseStandIns, roles } from './lib/images.ts'
import { withLock } from './lib/lock.ts'
import { judge, look } from './lib/preflight.ts'
import { type Release, record, releaseId, rollbackTarget } from './lib/release.ts'
import { ship } from './lib/ship.ts'
import { type Site, waitFor } from './lib/site.ts'
import {
  caddyDigest,
  ensure,
  imagesFor,
  migrate,
  nameByContent,
  putFiles,
  reloadCaddy,
  stackImages,
} from './lib/stack.ts'
import { checkZone } from './lib/zone.ts'

const help = `
ops/deploy.ts: put a release on the server without dropping a request

Ships the images that ops/build.ts made, writes the artefacts and secrets, migrates,
starts the idle colour, proves it, moves requests to it and stops the old one. Any
failure before the switch leaves the old colour serving.

  tsx ops/deploy.ts

  [SHA]              the commit to deploy (default: the app's checkout as it stands)
  --app DIR          the app's checkout (default APP_DIR)
  --dirty            deploy images that were built with --dirty
  --check            the gates only; change nothing
  --rollback         go back to the release before the live one, or to [SHA]; no build, no migration
  --restart SERVICE  let it restart caddy or postgres when their image or settings changed
`

const options = {
  app: { type: 'string' },
  dirty: { type: 'boolean' },
  check: { type: 'boolean' },
  rollback: { type: 'boolean' },
  restart: { type: 'string', multiple: true },
} as const

const wanted = [
  ...hostNames,
  ...fileNames,
  'APP_DIR',
  'EVERYSKILL_LAB',
  'DEPLOY_PLATFORM',
  'REGISTRY_IMAGE',
  'PUBLIC_CA',
] as const

/** How long the new colour is watched after the switch while the old one can still take over, seconds. */
const watchSeconds = 5

await main({ help, options, positionals: true }, async ({ flags, words, session }: Call<typeof options>) => {
  const env = readEnv(flags.env, wanted)
  const server = serverOf(flags.env, env, session)
  const ca = env.PUBLIC_CA && pathIn(flags.env, env.PUBLIC_CA)
  const site: Site = { name: env.NEXT_PUBLIC_ROOT_DOMAIN, address: env.PUBLIC_IPV4, ca }
  const restart = flags.restart ?? []
  const what = flags.rollback ? 'deploy --rollback' : 'deploy'
  const startedAt = new Date()
  const sha = flags.rollback ? await rollbackTarget(server, words[0]) : (words[0] ?? (await headOfApp()))
  const images = flags.rollback ? [] : await inspect(roles.map((role) => imageOf(role, sha)))
  refuseStandIns(images, env.EVERYSKILL_LAB === '1')

  await session.step(`check the server for ${sha.slice(0, 12)}`, async () => {
    const bytes = images.reduce((sum, image) => sum + image.bytes, 0)
    judge(
      await look(server),
      { address: env.PUBLIC_IPV4, bytes, architecture: env.DEPLOY_PLATFORM },
      Date.now(),
    )
  })
  if (flags.check) return

  await withLock(server, session, { name: 'deploy', who: operator(), what: `${what} ${sha}` }, async () => {
    const live = await settle()
    const next = live ? otherThan(live) : 'blue'
    const release = newRelease(next)
    let outcome = 'interrupted'
    try {
      if (!flags.rollback)
        await session.step('ship the images', () =>
          ship(
            server,
            session,
            images.map((i) => i.name),
            env.REGISTRY_IMAGE,
          ),
        )
      // --- from here on the server changes ---
      await install(next, live)
      if (!flags.rollback) await session.step('migrate the database', () => migrate(server))
      await session.step(`start ${next}`, () => startColour(server, next))
      await session.step(`prove ${next} from inside`, () => smokeInside(server, next, site.name, '/'))
      await record(server, release)
      await takeOver(live, next)
      await record(server, { ...release, outcome: 'live' })
      outcome = 'done'
    } catch (error) {
      outcome = (error as Error).message.split('\n')[0] ?? 'failed'
      throw error
    } finally {
      const seconds = (Date.now() - startedAt.getTime()) / 1000
      await audit(server, {
        action: what,
        outcome,
        seconds,
        about: { sha, colour: next, release: release.id },
      })
    }
    session.result(`${sha} is live as ${next} at https://${site.name}/`)
  })

  // ---

  async function headOfApp(): Promise<string> {
    const dir = flags.app ? resolve(flags.app) : env.APP_DIR && pathIn(flags.env, env.APP_DIR)
    if (!dir)
      throw new Fail(
        'usage',
        `${flags.env}:\n  APP_DIR is missing: path of the app's checkout; or pass --app DIR`,
      )
    return (await checkout(dir, flags.dirty ?? false)).sha
  }

  /** A deploy that was killed in the middle of a switch leaves two colours ready; the one that served stays. */
  async function settle(): Promise<Colour | undefined> {
    const [live, other] = await liveColours(server)
    if (live && other) await session.step(`settle on ${live}`, () => setLive(server, [live]))
    return live
  }

  function newRelease(colour: Colour): Release {
    const id = releaseId(sha, startedAt)
    return {
      id,
      sha,
      colour,
      operator: operator(),
      startedAt: startedAt.toISOString(),
      outcome: 'started',
      images: bases(),
    }
  }

  function bases(): Release['images'] {
    return Object.fromEntries(images.map(({ name, id, bases }, i) => [roles[i], { name, id, bases }]))
  }

  async function install(next: Colour, live: Colour | undefined): Promise<void> {
    await session.step('write artefacts and secrets', async () => {
      const before = await caddyDigest(server)
      const now = await stackImages(server)
      const stable = flags.rollback
        ? { caddy: now.caddy ?? '', postgres: now.postgres ?? '' }
        : {
            caddy: await nameByContent(server, 'caddy', sha),
            postgres: await nameByContent(server, 'postgres', sha),
          }
      await putFiles(server, [
        ...artefactFiles(flags.env, env),
        ...secretFiles(env),
        composeEnv(env, imagesFor(sha, next, stable, now)),
      ])
      if (live && (await caddyDigest(server)) !== before) await reloadCaddy(server)
    })
    await session.step('the DNS token opens the zone', () =>
      checkZone(
        server,
        imageOf('web', sha),
        site.name,
        env.HETZNER_DNS_API_TOKEN,
        env.TRUSTED_ROOT !== undefined,
      ),
    )
    await session.step('postgres runs', () =>
      ensure(server, session, 'postgres', restart.includes('postgres')),
    )
  }

  /** The point of no return is the second rename inside switchTo; until the watch ends the old colour can take over again. */
  async function takeOver(live: Colour | undefined, next: Colour): Promise<void> {
    if (!live) {
      await session.step(`${next} takes requests`, () => setLive(server, [next]))
      await session.step('caddy runs', () => ensure(server, session, 'caddy', true))
      if (!session.dryRun) await session.step('the site answers over HTTPS', () => waitFor(site, '/', 300))
      return
    }
    await session.step('caddy runs', () => ensure(server, session, 'caddy', restart.includes('caddy')))
    await session.step(`requests move from ${live} to ${next}`, () => switchTo(server, live, next))
    try {
      if (!session.dryRun) await session.step(`watch ${next} over HTTPS for ${watchSeconds} s`, watch)
    } catch (error) {
      await session.step(`requests move back to ${live}`, () => switchTo(server, next, live))
      await removeColour(server, next)
      throw error
    }
    await session.step(`stop ${live}`, () => removeColour(server, live))
  }

  async function watch(): Promise<void> {
    const end = Date.now() + watchSeconds * 1000
    while (Date.now() < end) await waitFor(site, '/', 3)
  }
})
