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
  /** Each image with its id on the machine that built it and the base images (with digests) that it was built from; a rollback brings only its web. */
  images: Partial<Record<Role, { name: string; id: string; bases: string }>>
}

/** What a new release brings: the images just built, or of a release that is gone back to its web. */
export function imagesOf(built: Image[], target: Release | undefined): Release['images'] {
  if (target) return target.images.web ? { web: target.images.web } : {}
  return Object.fromEntries(built.map(({ name, id, bases }, i) => [roles[i], { name, id, bases }]))
}

/** The image ids of a release by role, for the audit log. */
export function idsOf({ images }: Release): Record<string, string> {
  return Object.fromEntries(Object.entries(images).map(([role, { id }]) => [role, id]))
}

/** A new release's id. */
export function releaseId(sha: string, at: Date): string {
  const time = at.toISOString().replace(/[-:]|\.\d+/g, '')
  return `${time}-${sha.slice(0, 12)}`
}

/** The record of a release that is about to start. */
export function newRelease(sha: string, colour: Colour, images: Release['images'], at = new Date()): Release {
  return {
    id: releaseId(sha, at),
    sha,
    colour,
    operator: operator(),
    startedAt: at.toISOString(),
    outcome: 'started',
    images,
  }
}

/** Writes a release's record, or writes it anew with another outcome; `current` names the live one for whoever looks. */
export async function record(host: Host, release: Release): Promise<void> {
  await host.put(`${paths.releases}/${release.id}.json`, `${JSON.stringify(release, null, 2)}\n`)
  if (release.outcome === 'live') await host.put(`${paths.releases}/current`, `${release.id}\n`)
}

/**
 * What the operator must know when another release serves now than when the backup was made, else nothing. Migrations
 * since then are not in the backup, and the app's health check does not need them.
 */
export async function newerRelease(host: Host, release: string | null): Promise<string> {
  const now = await host.read(sh`cat ${`${paths.releases}/current`} 2>/dev/null || true`)
  const commit = (id: string) => id.replace(/^[^-]*-/, '')
  if (!release || now === '' || commit(now) === commit(release)) return ''
  return ` Release ${release} served when the backup was made, ${now} serves now: deploy again after the restore, which applies the migrations in between, or go back with tsx ops/deploy.ts --rollback ${commit(release)}.`
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
 * The release that a rollback goes to: the one asked for if it was ever proven live, else the newest proven one from before
 * the live one first came; so a second rollback goes back one more and never forward again.
 * @throws Fail `refused` when there is none, or when its image is gone
 */
export async function rollbackTarget(host: Host, asked: string | undefined): Promise<Release> {
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
async function stillThere(host: Host, release: Release): Promise<Release> {
  const { id, sha } = release
  const image = imageOf('web', sha)
  if ((await host.read(sh`docker image ls -q ${image}`)) !== '') return release
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
