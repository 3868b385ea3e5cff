import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Fail } from './fail.ts'
import { local } from './local.ts'

/** The four images of a release; all carry the app's git SHA as their tag. */
export const roles = ['web', 'migrate', 'caddy', 'postgres'] as const
export type Role = (typeof roles)[number]

const docker = join(import.meta.dirname, '../../docker')

/** What each image is built from. Without a context of its own, the context is the app's checkout. */
export const artefacts: Record<Role, { file: string; target?: string; context?: string }> = {
  web: { file: join(docker, 'Dockerfile'), target: 'runner' },
  migrate: { file: join(docker, 'Dockerfile'), target: 'migrate' },
  caddy: { file: join(docker, 'Dockerfile.caddy'), context: docker },
  postgres: { file: join(docker, 'Dockerfile.postgres'), context: docker },
}

/** The label of the lab's stand-ins for official images. An image built on one inherits it. */
const standInLabel = 'everyskill.stand-in'

/** The label in which build.ts keeps the base images and their digests. */
const basesLabel = 'everyskill.bases'

export interface Image {
  name: string
  /** What identifies its content: sha256 of the configuration, or of the manifest in the containerd store. */
  id: string
  bytes: number
  /** The base images that it was built from, with digests; build.ts writes it as a label. */
  bases: string
  standIn: boolean
}

/** The name of a release's image. */
export function imageOf(role: Role, sha: string): string {
  return `everyskill/${role}:${sha}`
}

/**
 * The base images that a Dockerfile names in its `ARG …_IMAGE` lines, each pulled when it is not here yet, as one label:
 * `NAME@sha256:… NAME@sha256:…`. A stand-in has no registry digest; its image id stands there.
 * @param given build arguments that replace the defaults
 */
export async function basesLabelOf(role: Role, given: Record<string, string | undefined>): Promise<string> {
  const file = readFileSync(artefacts[role].file, 'utf8')
  const args = [...file.matchAll(/^ARG (\w+_IMAGE)=(\S+)/gm)]
  const found = []
  for (const [, name = '', byDefault = ''] of args) found.push(await digestOf(given[name] ?? byDefault))
  return `${basesLabel}=${found.join(' ')}`
}

async function digestOf(base: string): Promise<string> {
  const format = '{{if .RepoDigests}}{{index .RepoDigests 0}}{{else}}{{.Id}}{{end}}'
  const found =
    await local`docker image inspect ${base} >/dev/null 2>&1 || docker pull -q ${base} >/dev/null; docker image inspect --format ${format} ${base}`
  return `${base}@${found.stdout.trim().replace(/^.*@/, '')}`
}

/** @throws Fail `failed` naming the images that this machine does not have */
export async function inspect(names: string[]): Promise<Image[]> {
  const found = await local`docker image inspect ${names}`.nothrow()
  if (!found.ok) throw new Fail('failed', `${found.stderr.trim()}\nBuild them first: tsx ops/build.ts`)
  const images = JSON.parse(found.stdout) as {
    Id: string
    Size: number
    Config: { Labels: Record<string, string> | null }
  }[]
  return images.map((image, i) => ({
    name: names[i] ?? image.Id,
    id: image.Id,
    bytes: image.Size,
    bases: image.Config.Labels?.[basesLabel] ?? '',
    standIn: image.Config.Labels?.[standInLabel] === 'true',
  }))
}

/** @throws Fail `refused` for an image built on a stand-in, unless this is the lab */
export function refuseStandIns(images: Image[], lab: boolean): void {
  const fakes = images.filter((image) => image.standIn).map((image) => image.name)
  if (fakes.length === 0 || lab) return
  throw new Fail(
    'refused',
    `${fakes.join(', ')}: built on the lab's stand-ins for official images. Build again with official base images (NODE_IMAGE, CADDY_IMAGE, POSTGRES_IMAGE)`,
  )
}
