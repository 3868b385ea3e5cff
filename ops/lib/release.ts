import { operator } from './audit.ts'
import { liveColours } from './colours.ts'
import type { Colour } from './compose.ts'
import { Fail } from './fail.ts'
import type { Host } from './host.ts'
import { type Image, imageOf, type Role, roles } from './images.ts'
import { paths } from './paths.ts'
import { sh } from './sh.ts'
import { shaOf, stackImages } from './stack.ts'

/** What was deployed, by whom, from what: one file a release in /opt/everyskill/releases. */
export interface Release {
  /** UTC time and the commit's first 12 digits; sorts by age. */
  id: string
  /** The app's commit. */
  sha: string
  colour: Colour
  operator: string
  startedAt: string
  /** `started` until the switch is proven, then `live`. A deploy that failed or was killed leaves `started`. */
  outcome: 'started' | 'live'
  /** Each image with its id on the machine that built it and the base images (with digests) that it was built from. */
  images: Partial<Record<Role, { name: string; id: string; bases: string }>>
}

/** A new release's id. */
export function releaseId(sha: string, at: Date): string {
  const time = at.toISOString().replace(/[-:]|\.\d+/g, '')
  return `${time}-${sha.slice(0, 12)}`
}

/** The record of a release that is about to start. */
export function newRelease(sha: string, colour: Colour, images: Image[], at = new Date()): Release {
  const about = images.map(({ name, id, bases }, i) => [roles[i], { name, id, bases }])
  return {
    id: releaseId(sha, at),
    sha,
    colour,
    operator: operator(),
    startedAt: at.toISOString(),
    outcome: 'started',
    images: Object.fromEntries(about),
  }
}

/** Writes a release's record, or writes it anew with another outcome; `current` names the live one for whoever looks. */
export async function record(host: Host, release: Release): Promise<void> {
  await host.put(`${paths.releases}/${release.id}.json`, `${JSON.stringify(release, null, 2)}\n`)
  if (release.outcome === 'live') await host.put(`${paths.releases}/current`, `${release.id}\n`)
}

/** Every release on record, the newest first. */
export async function releases(host: Host): Promise<Release[]> {
  const text = await host.read(
    sh`for f in ${paths.releases}/*.json; do [ -e "$f" ] || continue; tr -d '\n' < "$f"; echo; done`,
  )
  const all = text.split('\n').filter((line) => line !== '')
  return all.map((line) => JSON.parse(line) as Release).sort((a, b) => b.id.localeCompare(a.id))
}

/**
 * The commit that a rollback goes to: the one asked for if it was ever proven live, else the newest proven one from before
 * the live one first came; so a second rollback goes back one more and never forward again.
 * @throws Fail `refused` when there is none, or when its image is gone
 */
export async function rollbackTarget(host: Host, asked: string | undefined): Promise<string> {
  const [[live], images, all] = await Promise.all([liveColours(host), stackImages(host), releases(host)])
  if (!live) throw new Fail('refused', 'nothing is deployed yet, so there is nothing to go back to')
  const current = shaOf(images, live)
  const target = asked ? proven(all, current).find((one) => one.sha.startsWith(asked)) : before(all, current)
  if (target) return stillThere(host, target)
  const known = proven(all, current).map((release) => `  ${release.id}`)
  throw new Fail(
    'refused',
    `no such release to go back to; ${current.slice(0, 12)} is live. Name one of these:\n${known.join('\n') || '  none'}`,
  )
}

/** @throws Fail `refused` when the server no longer has the release's image, before anything is changed */
async function stillThere(host: Host, { id, sha }: Release): Promise<string> {
  const image = imageOf('web', sha)
  const found = await host.probe(sh`docker image inspect ${image} >/dev/null`)
  if (found.code === 0) return sha
  throw new Fail(
    'refused',
    `${id}: the server no longer has ${image}. Ship it again: tsx ops/deploy.ts ${sha}`,
  )
}

/** The newest proven release from before a commit first came. @param all the newest first */
export function before(all: Release[], sha: string): Release | undefined {
  const first = all.findLastIndex((release) => release.sha === sha)
  return proven(all.slice(first + 1), sha)[0]
}

function proven(all: Release[], current: string): Release[] {
  return all.filter((release) => release.outcome === 'live' && release.sha !== current)
}
