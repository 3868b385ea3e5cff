/**
 * Builds the four images of a release (web, migrate, caddy, postgres) from the app's checkout and proves them.
 * It changes nothing but this machine's image store. Next: ops/deploy.ts.
 */
import { createHash } from 'node:crypto'
import { $ } from 'zx'
import { problemsOf } from './lib/app.ts'
import { buildCommand } from './lib/building.ts'
import { appDir, checkout } from './lib/checkout.ts'
import { type Call, main } from './lib/cli.ts'
import { readEnv, secretsIn } from './lib/env.ts'
import { Fail } from './lib/fail.ts'
import { imageOf, inspect, type Role, refuseStandIns, roles } from './lib/images.ts'
import { local } from './lib/local.ts'
import { privateDir } from './lib/private-dir.ts'
import { danglingLinks, hasHetznerModule, leaksIn } from './lib/proof.ts'
import { remember, unproven } from './lib/proven.ts'
import { together } from './lib/together.ts'

const help = `
ops/build.ts: build and prove the images of a release

Checks the app's checkout, builds everyskill/{web,migrate,caddy,postgres} tagged
with its git SHA for the server's platform, and proves them: no dangling link, no
secret in any layer, Caddy with the Hetzner module. Changes only the local images.

  tsx ops/build.ts --app ../everyskill

  --app DIR       the app's checkout (default APP_DIR)
  --dirty         build a work tree with uncommitted changes
  --json          the images as one JSON document
`

const options = {
  app: { type: 'string' },
  dirty: { type: 'boolean' },
  json: { type: 'boolean' },
} as const

const wanted = [
  'APP_DIR',
  'EVERYSKILL_LAB',
  'DEPLOY_PLATFORM',
  'NODE_IMAGE',
  'CADDY_BUILDER_IMAGE',
  'CADDY_IMAGE',
  'POSTGRES_IMAGE',
  'NEXT_PUBLIC_ROOT_DOMAIN',
  'NEXT_PUBLIC_APP_URL',
  'NEXT_SERVER_ACTIONS_ENCRYPTION_KEY',
] as const

/** What is built side by side; the web and its migrations share most of their stages. */
const lanes = [['web', 'migrate'], ['caddy'], ['postgres']] as const satisfies Role[][]

await main({ help, options }, async ({ flags, session }: Call<typeof options>) => {
  const env = readEnv(flags.env, wanted)
  const dir = appDir(flags.env, env, flags.app)
  const app = await session.step(`check the app in ${dir}`, async () => {
    const problems = problemsOf(dir, nodeMajor(env.NODE_IMAGE))
    if (problems.length > 0)
      throw new Fail('usage', `${dir} cannot be built:\n${problems.map((p) => `  ${p}`).join('\n')}`)
    return checkout(dir, flags.dirty ?? false)
  })
  await session.step('find the engine', engine)

  const buildArgs: Record<Role, Record<string, string | undefined>> = {
    web: {
      NODE_IMAGE: env.NODE_IMAGE,
      NEXT_PUBLIC_ROOT_DOMAIN: env.NEXT_PUBLIC_ROOT_DOMAIN,
      NEXT_PUBLIC_APP_URL: env.NEXT_PUBLIC_APP_URL,
      DEPLOYMENT_ID: app.sha,
      // A secret is not part of BuildKit's cache key: without this, a rotated key would leave the old one in the image.
      NEXT_SERVER_ACTIONS_KEY_ID: createHash('sha256')
        .update(env.NEXT_SERVER_ACTIONS_ENCRYPTION_KEY)
        .digest('hex')
        .slice(0, 12),
    },
    migrate: { NODE_IMAGE: env.NODE_IMAGE },
    caddy: { CADDY_BUILDER_IMAGE: env.CADDY_BUILDER_IMAGE, CADDY_IMAGE: env.CADDY_IMAGE },
    postgres: { POSTGRES_IMAGE: env.POSTGRES_IMAGE },
  }

  const web = imageOf('web', app.sha)
  await together(lanes, buildAll)
  if (session.dryRun) return
  const images = await inspect(roles.map((role) => imageOf(role, app.sha)))
  refuseStandIns(images, env.EVERYSKILL_LAB === '1')
  for (const image of images) session.say(`  ${image.name} ${(image.bytes / 1e6).toFixed(0)} MB`)

  await session.step('prove that no secret is in any layer, history or configuration', proveClean)
  await session.step('prove that the standalone build has no dangling link', async () => {
    const links = await danglingLinks(web, '/app')
    if (links.length > 0) throw new Fail('failed', `${web} has dangling links:\n${links.join('\n')}`)
  })
  await session.step('prove that Caddy has the Hetzner module', () =>
    hasHetznerModule(imageOf('caddy', app.sha)),
  )
  if (flags.json) session.result(JSON.stringify({ sha: app.sha, images }))
  else session.result(app.sha)

  // ---

  async function buildAll(lane: readonly Role[]): Promise<void> {
    for (const role of lane) await session.step(`build ${imageOf(role, app.sha)}`, () => build(role))
  }

  async function build(role: Role): Promise<void> {
    const command = await buildCommand(role, {
      dir: app.dir,
      sha: app.sha,
      platform: env.DEPLOY_PLATFORM,
      args: buildArgs[role],
      dryRun: session.dryRun,
    })
    if (session.dryRun) return session.wouldRun('operator', command.join(' '))
    // Through cat: BuildKit opens /dev/stdin anew, which works for a pipe and not for the socket that Node gives.
    if (role === 'web') await $({ input: env.NEXT_SERVER_ACTIONS_ENCRYPTION_KEY })`cat | ${command}`
    else await local`${command}`
  }

  async function proveClean(): Promise<void> {
    const secrets = secretsIn(flags.env)
    const todo = unproven(images, secrets)
    const leaks = await leaksIn(
      todo.map((image) => image.name),
      secrets,
      privateDir(session),
    )
    const bad = leaks.filter((leak) => !isServerActionsKey(leak))
    if (bad.length > 0) {
      const list = bad.map(({ secret, where }) => `  ${secret} in ${where}`).join('\n')
      throw new Fail(
        'unverified',
        `the images hold secrets:\n${list}\nDelete the images, rotate the secrets, and see docker/Dockerfile.dockerignore`,
      )
    }
    if (leaks.length === 0 && todo.some((image) => image.name === web)) {
      throw new Fail(
        'unverified',
        'NEXT_SERVER_ACTIONS_ENCRYPTION_KEY is not in .next/server, so the build did not use it',
      )
    }
    remember(todo, secrets)
  }
})

/** Next writes this one key into its server's manifests; that is why the image counts as secret. */
function isServerActionsKey(leak: { secret: string; where: string }): boolean {
  return leak.secret === 'NEXT_SERVER_ACTIONS_ENCRYPTION_KEY' && /(^|\/)\.next\/server\//.test(leak.where)
}

function nodeMajor(image: string | undefined): number {
  return Number(/:v?(\d+)/.exec(image ?? '')?.[1] ?? 22)
}

async function engine(): Promise<void> {
  const engine = await local`docker version --format '{{.Server.Version}}' && docker buildx version`.nothrow()
  if (!engine.ok)
    throw new Fail('failed', `no Docker engine with buildx answers here:\n${engine.stderr.trim()}`)
}
