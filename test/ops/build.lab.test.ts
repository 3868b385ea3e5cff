/** The build: what it refuses, what it proves of its images, and that the proofs find what they look for. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import * as assert from 'uvu/assert'
import { secretsIn } from '../../ops/lib/env.ts'
import { basesLabel, imageOf, roles } from '../../ops/lib/images.ts'
import { danglingLinks, hasHetznerModule, type Leak, leaksIn } from '../../ops/lib/proof.ts'
import { describe, rejects } from '../describe.ts'
import { prepareApp } from '../lab/app.ts'
import { attempted } from '../lab/begin.ts'
import type { Run } from '../lab/ops.ts'
import { $, $try, ROOT, text } from '../lab/shell.ts'
import { labUp, type World } from '../lab/world.ts'
import { ended, envWith, layOver } from './deploy-helpers.ts'

const key = 'NEXT_SERVER_ACTIONS_ENCRYPTION_KEY'

async function leaks(images: string[], secrets: Record<string, string>): Promise<Leak[]> {
  const dir = mkdtempSync(join(tmpdir(), 'build-test-'))
  try {
    return await leaksIn(images, secrets, dir)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

describe('a build', { timeout: 240_000 }, ({ test, before, after }) => {
  let world: World
  let dir = ''
  let sha = ''
  let first: Run
  const made: string[] = []
  const build = (...args: string[]) => ended(0, 'build', ...args)

  /** The fixture as a checkout of its own, perhaps changed before its commit. */
  const checkout = async (name: string, change: (app: string) => void = () => {}) => {
    const app = join(dir, name)
    const out = ['node_modules', '.next', '.turbo', '.git']
    cpSync(world.app, app, { recursive: true, filter: (path) => !out.includes(basename(path)) })
    change(app)
    const git = $({ cwd: app })
    await git`git init -q; git add -Af; git -c user.name=t -c user.email=t@t.test commit -qm ${name}`
    made.push(await text(git`git rev-parse HEAD`))
    return app
  }
  const isKey = ({ secret, where }: { secret: string; where: string }) =>
    secret === key && /(^|\/)apps\/web\/\.next\/server\//.test(where)

  before(
    async () => {
      world = await labUp()
      dir = mkdtempSync(join(tmpdir(), 'build-test-'))
      sha = await prepareApp()
      first = await build('--json')
    },
    { timeout: 900_000 },
  )
  after(async () => {
    const names = made
      .flatMap((one) => [one, `${one}-dirty`])
      .flatMap((one) => roles.map((r) => imageOf(r, one)))
    await $try`docker rmi --force ${names}`
    rmSync(dir, { recursive: true, force: true })
  })

  test('makes four images of the commit, labelled, with the digests of their bases', async () => {
    const { sha: told, images } = JSON.parse(first.stdout)
    assert.is(told, sha)
    assert.equal(
      images.map(({ name }: { name: string }) => name),
      roles.map((role) => imageOf(role, sha)),
    )
    for (const [i, role] of roles.entries()) {
      assert.match(images[i].id, /^sha256:[0-9a-f]{64}$/)
      assert.match(images[i].bases, /^(\S+@sha256:[0-9a-f]{64} ?)+$/)
      const labels = JSON.parse(
        await text($`docker image inspect --format ${'{{json .Config.Labels}}'} ${imageOf(role, sha)}`),
      )
      assert.is(labels['org.opencontainers.image.title'], `everyskill-${role}`)
      assert.is(labels[basesLabel], images[i].bases)
      const own = role === 'web' || role === 'migrate'
      assert.is(labels['org.opencontainers.image.revision'], own ? sha : undefined)
    }
  })

  test('again is quick, finds the same images, and prints only the commit', async () => {
    const start = performance.now()
    assert.is((await build()).stdout, `${sha}\n`)
    assert.ok(performance.now() - start < 60_000)
    const again = JSON.parse((await build('--json')).stdout)
    assert.equal(again, JSON.parse(first.stdout))
  })

  test("holds the server actions key in the web image's .next/server and no secret anywhere else", async () => {
    const [web = '', ...others] = roles.map((role) => imageOf(role, sha))
    const found = await leaks([web], secretsIn(world.env))
    assert.ok(found.length > 0, 'the key is not there')
    assert.equal(
      found.filter((leak) => !isKey(leak)),
      [],
    )
    assert.equal(await leaks(others, secretsIn(world.env)), [])
  })

  test('of an app that cannot be built ends with 2 and tells every problem with its mend', async () => {
    const app = await checkout('problems', (path) => {
      rmSync(join(path, 'pnpm-lock.yaml'))
      rmSync(join(path, 'apps/web/app/api/health'), { recursive: true })
      const config = join(path, 'apps/web/next.config.ts')
      writeFileSync(config, readFileSync(config, 'utf8').replace(/ *output: .*\n/, ''))
    })
    const { stdout, stderr } = await ended(2, 'build', '--app', app)
    assert.is(stdout, '')
    for (const problem of [/pnpm install/, /output: "standalone"/, /api\/health\/route\.ts is missing/])
      assert.match(stderr, problem)
    const nothing = await ended(2, 'build', '--app', join(dir, 'nowhere'))
    assert.match(nothing.stderr, /has no package\.json: pass the app's checkout/)
  })

  test('with --dry-run prints its commands without a secret and makes nothing', async () => {
    const app = await checkout('dry')
    const { stdout, stderr } = await build('--app', app, '--dry-run')
    assert.match(
      stdout,
      /^\[operator\] docker buildx build .*--secret id=next_server_actions_encryption_key/m,
    )
    for (const [name, value] of Object.entries(secretsIn(world.env)))
      assert.not.ok(`${stdout}${stderr}`.includes(value), name)
    assert.not.ok((await $try`docker image inspect ${imageOf('web', made.at(-1) as string)}`).ok)
  })

  test('of a changed work tree wants --dirty; another key alone makes another build', async () => {
    const app = await checkout('dirty')
    const commit = made.at(-1)
    writeFileSync(join(app, 'apps/web/app/revision.ts'), "export const revision = 'not committed'\n")
    const refused = await ended(2, 'build', '--app', app)
    assert.match(refused.stderr, /revision\.ts\nCommit them, or pass --dirty/)

    assert.is((await build('--app', app, '--dirty')).stdout, `${commit}-dirty\n`)
    const other = Buffer.from('another-server-actions-key-32-by').toString('base64')
    const env = envWith(world, join(dir, 'other.env'), { [key]: other })
    const { code, stderr } = await attempted(env, ['build', '--app', app, '--dirty'])
    assert.is(code, 0, stderr)
    const both = { [key]: other, old: secretsIn(world.env)[key] as string }
    const found = await leaks([imageOf('web', `${commit}-dirty`)], both)
    assert.ok(found.length > 0)
    assert.equal(
      found.filter((leak) => !isKey(leak)),
      [],
    )
  })

  test('with a broken ignore file ends with 6, naming the secret and the file, not the value', async () => {
    const secrets = secretsIn(world.env)
    const app = await checkout('canary', (path) => {
      writeFileSync(join(path, 'apps/web/public/login.key'), `${secrets.AUTH_SECRET}\n`)
    })
    const repository = join(dir, 'repository')
    mkdirSync(repository)
    for (const part of ['ops', 'docker', 'package.json', 'tsconfig.json'])
      cpSync(join(ROOT, part), join(repository, part), { recursive: true })
    symlinkSync(join(ROOT, 'node_modules'), join(repository, 'node_modules'))
    const run = async () => {
      const args = ['--import', 'tsx', 'ops/build.ts', '--app', app, '--env', world.env]
      return await $try({ cwd: repository, timeout: '200s' })`${process.execPath} ${args}`
    }
    writeFileSync(join(repository, 'docker/Dockerfile.dockerignore'), '')
    const { exitCode, stdout, stderr } = await run()
    assert.is(exitCode, 6, stderr)
    assert.match(stderr, /the images hold secrets:\n[\s\S]*AUTH_SECRET in app\/apps\/web\/public\/login\.key/)
    for (const [name, value] of Object.entries(secrets))
      assert.not.ok(`${stdout}${stderr}`.includes(value), `prints ${name}`)
    assert.is((await run()).exitCode, 6, 'a leak is not forgotten by the next run')
  })

  test('without an engine that answers ends with 1 and says so', async () => {
    const env = { ...process.env, DOCKER_HOST: 'unix:///nowhere.sock' }
    const build = $try({ cwd: ROOT, env })`npx tsx ops/build.ts --env ${world.env}`
    const { exitCode, stderr } = await build
    assert.is(exitCode, 1, stderr)
    assert.match(stderr, /no Docker engine with buildx answers here:\n.*nowhere\.sock/)
  })

  test('outside the lab refuses images on stand-ins with 3', async () => {
    const env = envWith(world, join(dir, 'real.env'), { EVERYSKILL_LAB: undefined })
    const { code, stderr } = await attempted(env, ['build'])
    if (world.standIns.length === 0) return assert.is(code, 0, stderr)
    assert.is(code, 3, stderr)
    assert.match(stderr, new RegExp(`everyskill/web:${sha}.*built on the lab's stand-ins.*NODE_IMAGE`))
    const deploy = await attempted(env, ['deploy', sha])
    assert.is(deploy.code, 3, deploy.stderr)
    assert.match(deploy.stderr, /built on the lab's stand-ins/)
  })
})

describe('the proofs of an image', ({ test, after }) => {
  const secrets = {
    DELETED: 'canary-in-a-layer-1',
    SET: 'canary-in-the-config-2',
    ABSENT: 'canary-nowhere-3',
  }
  const read = (file: string) => readFileSync(join(ROOT, file), 'utf8')
  /** The base image of the app: the one of the lab's `.env`, or docker/Dockerfile's own. */
  const base = () =>
    (/^NODE_IMAGE=(.+)$/m.exec(read('.lab/.env')) ??
      /^ARG NODE_IMAGE=(\S+)/m.exec(read('docker/Dockerfile')))?.[1] ?? ''
  const images = ['proof', 'dangling', 'caddyless'].map((name) => `everyskill-test/${name}`)
  after(() => $try`docker rmi --force ${images}`)

  test('find a value in a file that a later layer replaced, and in the configuration', async () => {
    const name = 'everyskill-test/proof'
    await layOver('scratch', name, {
      lines: `COPY one /etc/app.env\nCOPY two /etc/app.env\nENV TOKEN=${secrets.SET}\nCMD ["/none"]`,
      files: { one: `x=${secrets.DELETED}\n`, two: 'x=\n' },
    })
    const found = await leaks([name], secrets)
    const of = (secret: string) => found.filter((leak) => leak.secret === secret).map(({ where }) => where)
    assert.equal(of('DELETED'), ['etc/app.env'])
    assert.ok(of('SET').includes('history-and-configuration'), of('SET').join())
    assert.equal(of('ABSENT'), [])
  })

  test('find a link that leads nowhere', { timeout: 120_000 }, async () => {
    const name = 'everyskill-test/dangling'
    await layOver(base(), name, {
      lines: 'RUN mkdir -p /app && ln -s /bin/sh /app/good && ln -s /gone /app/bad',
    })
    assert.equal(await danglingLinks(name, '/app'), ['/app/bad'])
  })

  test('notice a Caddy without the module', { timeout: 120_000 }, async () => {
    const name = 'everyskill-test/caddyless'
    await layOver(base(), name, {
      lines:
        "RUN printf '#!/bin/sh\\necho dns.providers.other\\n' > /usr/local/bin/caddy; chmod +x /usr/local/bin/caddy",
    })
    await rejects(() => hasHetznerModule(name), /does not list dns\.providers\.hetzner/)
  })
})
