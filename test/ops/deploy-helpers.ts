import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import { imageOf, type Role, roles } from '../../ops/lib/images.ts'
import { prepareApp } from '../lab/app.ts'
import { open } from '../lab/browser.ts'
import { deployed } from '../lab/deployed.ts'
import { ops, type Run, tryOps } from '../lab/ops.ts'
import { $, $try, text, until } from '../lab/shell.ts'
import type { World } from '../lab/world.ts'

export interface Live {
  sha: string
  colour: 'blue' | 'green'
}

/** The lab with a release on it whose images this machine has, so that others can be made from them. */
export async function deployedHere(): Promise<World> {
  const world = await deployed()
  const { sha } = await liveNow()
  const names = roles.map((role) => imageOf(role, sha))
  if ((await $try`docker image inspect ${names}`).ok) return world
  await prepareApp()
  for (const script of ['build', 'deploy'] as const) await ops([script])
  return world
}

/** Which release is live, as `status` tells it. */
export async function liveNow(): Promise<Live> {
  return JSON.parse((await tryOps(['status', '--json'])).stdout).live
}

/** Runs a script with the lab's `.env`; fails with its stderr if the exit code is another. */
export async function ended(code: number, ...args: [string, ...string[]]): Promise<Run> {
  const run = await tryOps(args)
  assert.is(run.code, code, `${args.join(' ')}: ${run.stderr}`)
  return run
}

/** A copy of the lab's `.env` with some values changed, or left out where they are undefined. */
export function envWith(world: World, path: string, values: Record<string, string | undefined>): string {
  const lines = readFileSync(world.env, 'utf8')
    .split('\n')
    .filter((line) => !Object.keys(values).some((name) => line.startsWith(`${name}=`)))
  for (const [name, value] of Object.entries(values)) if (value !== undefined) lines.push(`${name}=${value}`)
  writeFileSync(path, `${lines.join('\n')}\n`, { mode: 0o600 })
  return path
}

/** What a test lays over the images of the live release: lines of a Dockerfile, and the files that they copy. */
export type Change = { lines: string; files?: Record<string, string> }

/**
 * A release of its own, made in a second from the live one's images: the same ones under a new SHA, with changes.
 * @returns its SHA
 */
export async function releaseFrom(live: string, name: string, change: Partial<Record<Role, Change>>) {
  const sha = createHash('sha1').update(`${name} ${process.pid} ${Date.now()}`).digest('hex')
  for (const role of roles) {
    const changed = change[role]
    if (changed) await layOver(imageOf(role, live), imageOf(role, sha), changed)
    else await $`docker tag ${imageOf(role, live)} ${imageOf(role, sha)}`
  }
  return sha
}

/** Builds an image on another one. */
export async function layOver(base: string, name: string, { lines, files = {} }: Change): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'deploy-test-'))
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, path)), { recursive: true })
    writeFileSync(join(dir, path), content)
  }
  writeFileSync(join(dir, 'Dockerfile'), `FROM ${base}\n${lines}\n`)
  await $`docker build --quiet --tag ${name} ${dir}`
  rmSync(dir, { recursive: true, force: true })
}

/** Takes the images of releases off both machines; the live one's share their content and stay. */
export async function forget(world: World, shas: string[]): Promise<void> {
  const names = shas.flatMap((sha) => roles.map((role) => imageOf(role, sha)))
  if (names.length === 0) return
  await $try`docker rmi --force ${names}`
  await world.server.exec(`docker rmi ${names.join(' ')} > /dev/null 2>&1 || true`)
}

/** The ids of the running containers of the stack, by service, with the time each was started; stopped ones say so. */
export async function containers(world: World): Promise<Record<string, string>> {
  const all = await world.server.exec(
    `docker ps -aq --filter label=com.docker.compose.project=everyskill | xargs -r docker inspect --format '{{index .Config.Labels "com.docker.compose.service"}} {{.Id}} {{.State.Status}} {{.State.StartedAt}}'`,
  )
  const rows = all.split('\n').filter(Boolean)
  return Object.fromEntries(rows.map((row) => [row.slice(0, row.indexOf(' ')), row]))
}

/** A digest of every file under /opt/everyskill with its mode and owner, but the audit log. */
export async function filesDigest(world: World): Promise<string> {
  return world.server.exec(
    `cd /opt/everyskill; { find . -path ./repo -prune -o -path ./node -prune -o -printf '%p %m %U %s\\n'; find . -path ./repo -prune -o -path ./node -prune -o -type f -print0 | sort -z | xargs -0 sha256sum; } | grep -v audit.log | sort | sha256sum`,
  )
}

export interface Seen {
  asked: number
  /** What went wrong, in words, with the second since the start. */
  bad: string[]
  /** How many answers each colour gave. */
  colours: Record<string, number>
}

/** Asks the site ten times a second, each time on a new connection, while the work runs. */
export async function watched<T>(world: World, work: () => Promise<T>): Promise<{ value: T; seen: Seen }> {
  const seen: Seen = { asked: 0, bad: [], colours: {} }
  const start = performance.now()
  const flying = new Set<Promise<void>>()
  const ask = () => {
    const at = `${((performance.now() - start) / 1000).toFixed(1)} s`
    seen.asked++
    const flight = open(world, world.domain, '/api/health')
      .then(({ status, body }) => {
        if (status !== 200) throw new Error(`HTTP ${status}`)
        const { colour } = JSON.parse(body)
        seen.colours[colour] = (seen.colours[colour] ?? 0) + 1
      })
      .catch((error: Error) => {
        seen.bad.push(`${at}: ${error.message}`)
      })
      .finally(() => flying.delete(flight))
    flying.add(flight)
  }
  const timer = setInterval(ask, 100)
  try {
    return { value: await work(), seen }
  } finally {
    clearInterval(timer)
    await Promise.all(flying)
  }
}

/** Which colours answer, each of a few times. */
export async function answering(world: World): Promise<string[]> {
  const { seen } = await watched(world, () => sleep(1000))
  assert.equal(seen.bad, [])
  return Object.keys(seen.colours).sort()
}

/** Holds one of the server's locks, as the script of another operator would, while the work runs. */
export async function whileLocked<T>(
  world: World,
  name: 'deploy' | 'backup',
  holder: string,
  work: () => Promise<T>,
): Promise<T> {
  const lock = `/run/lock/everyskill-${name}.lock`
  const over = `/tmp/release-${name}`
  const held = world.server.exec(
    `rm -f ${over}; exec 9>> ${lock}; flock 9; echo '${holder}' > ${lock}.holder; until [ -e ${over} ]; do sleep 0.1; done`,
  )
  const told = () => world.server.exec(`cat ${lock}.holder 2> /dev/null || true`)
  try {
    await until('the lock to be held', 60, async () => ((await told()) === holder ? true : undefined))
    return await work()
  } finally {
    await world.server.exec(`touch ${over}`)
    await held
  }
}

/** The commit at which the app's checkout stands. */
export function headOfApp(world: World): Promise<string> {
  return text($`git -C ${world.app} rev-parse HEAD`)
}
