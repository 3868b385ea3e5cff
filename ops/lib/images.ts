import { Fail } from './fail.ts'
import { local } from './local.ts'

/** The four images of a release; all carry the app's git SHA as their tag. */
export const roles = ['web', 'migrate', 'caddy', 'postgres'] as const
export type Role = (typeof roles)[number]

/** The label of the lab's stand-ins for official images. An image built on one inherits it. */
const standInLabel = 'everyskill.stand-in'

/** The label in which build.ts keeps the base images and their digests. */
export const basesLabel = 'everyskill.bases'

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
