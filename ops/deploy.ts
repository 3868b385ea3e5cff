/**
 * Puts a release on the server without dropping a request: ships its images, migrates, starts the idle colour, proves it,
 * moves requests to it, watches it, stops the old one. Any failure before the switch leaves the old colour serving.
 * It never removes data and never undoes a migration. Before it: ops/build.ts. When it goes wrong: runbooks/.
 */
import { operator } from './lib/audit.ts'
import { reloadCaddy } from './lib/caddy.ts'
import { appDir, checkout } from './lib/checkout.ts'
import { type Call, main } from './lib/cli.ts'
import { type Colour, otherThan } from './lib/compose.ts'
import { composeEnv } from './lib/compose-env.ts'
import { readEnv } from './lib/env.ts'
import { look } from './lib/facts.ts'
import { Fail } from './lib/fail.ts'
import { artefactFiles, secretFiles } from './lib/files.ts'
import { hostNames, serverOf } from './lib/host.ts'
import { imageOf, inspect, refuseStandIns, roles } from './lib/images.ts'
import { withLock } from './lib/lock.ts'
import { judge } from './lib/preflight.ts'
import { recorded } from './lib/recorded.ts'
import { idsOf, imagesOf, newRelease, record, rollbackTarget } from './lib/release.ts'
import { bringUp, changeOver, goLive, type Rollout, settle } from './lib/rollout.ts'
import { fileNames } from './lib/server-env.ts'
import { ship } from './lib/ship.ts'
import { siteNames, siteOf } from './lib/site.ts'
import { ensure, imagesFor, migrate, putFiles, stableImages, stackImages } from './lib/stack.ts'
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
  --prepare          ship the images and write the files, start nothing (before a restore)
  --rollback         go back to the release before the live one, or to [SHA]; no build, no migration
  --restart SERVICE  let it restart caddy or postgres when their image or settings changed
`

const options = {
  app: { type: 'string' },
  dirty: { type: 'boolean' },
  check: { type: 'boolean' },
  prepare: { type: 'boolean' },
  rollback: { type: 'boolean' },
  restart: { type: 'string', multiple: true },
} as const

const own = ['APP_DIR', 'EVERYSKILL_LAB', 'DEPLOY_PLATFORM', 'REGISTRY_IMAGE'] as const
const wanted = [...hostNames, ...siteNames, ...fileNames, ...own] as const

await main({ help, options, positionals: true }, async ({ flags, words, session }: Call<typeof options>) => {
  const env = readEnv(flags.env, wanted)
  const server = serverOf(flags.env, env, session)
  const site = siteOf(flags.env, env)
  const files = [...artefactFiles(flags.env, env), ...secretFiles(env)]
  const restart = flags.restart ?? []
  const strange = [...restart.filter((name) => !['caddy', 'postgres'].includes(name)), ...words.slice(1)]
  if (strange.length > 0) throw new Fail('usage', `${strange.join(' ')}: not understood. See --help`)
  const rollout: Rollout = { server, session, site, restartCaddy: restart.includes('caddy') }
  const action = flags.rollback ? 'deploy --rollback' : flags.prepare ? 'deploy --prepare' : 'deploy'
  const target = flags.rollback ? await rollbackTarget(server, words[0]) : undefined
  const sha = target?.sha ?? words[0] ?? (await headOfApp())
  const images = flags.rollback ? [] : await inspect(roles.map((role) => imageOf(role, sha)))
  refuseStandIns(images, env.EVERYSKILL_LAB === '1')

  await session.step(`check the server for ${sha.slice(0, 12)}`, async () => {
    const bytes = images.reduce((sum, image) => sum + image.bytes, 0)
    const addresses = [env.PUBLIC_IPV4, ...(env.PUBLIC_IPV6 ? [env.PUBLIC_IPV6] : [])]
    const needs = { addresses, bytes, architecture: env.DEPLOY_PLATFORM }
    judge(await look(server), needs, Date.now())
  })
  if (flags.check) return

  const claim = { name: 'deploy', who: operator(), what: `${action} ${sha}` }
  await withLock(server, session, claim, () => recorded(server, session, action, deploy))

  async function deploy(about: Record<string, string>): Promise<void> {
    const live = await settle(rollout)
    const next = live ? otherThan(live) : 'blue'
    const release = newRelease(sha, next, imagesOf(images, target))
    Object.assign(about, { sha, colour: next, release: release.id, ...idsOf(release) })

    if (!flags.rollback)
      await session.step('ship the images', () => ship(server, session, images, env.REGISTRY_IMAGE))
    await session.step('the DNS token opens the zone', () =>
      checkZone(server, imageOf('web', sha), flags.env, env),
    )
    // --- from here on the server changes; the live colour goes on serving ---
    await session.step('write artefacts and secrets', () => write(next, live))
    if (flags.prepare) return session.result(`${sha} lies ready on ${server.name}`)
    await session.step('postgres runs', () =>
      ensure(server, session, 'postgres', restart.includes('postgres')),
    )
    if (!flags.rollback) await session.step('migrate the database', () => migrate(server))
    await bringUp(rollout, next)
    await record(server, release)
    // --- from here on the new colour serves; changeOver says how far back is back ---
    const proven = () => record(server, { ...release, outcome: 'live' })
    if (live) await changeOver(rollout, live, next, proven)
    else await goLive(rollout, next).then(proven)
    if (!session.dryRun) session.result(`${sha} is live as ${next} at https://${site.name}/`)
  }

  async function write(next: Colour, live: Colour | undefined): Promise<void> {
    const now = await stackImages(server)
    const stable = flags.rollback ? now : await stableImages(server, sha)
    const stack = imagesFor(sha, next, stable, now)
    await putFiles(server, [...files, composeEnv(env, stack)])
    if (live) await reloadCaddy(server)
  }

  async function headOfApp(): Promise<string> {
    return (await checkout(appDir(flags.env, env, flags.app), flags.dirty ?? false)).sha
  }
})
