import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { Image } from './images.ts'

const folder = join(homedir(), '.cache/everyskill-ops/proven')

/**
 * The images that were not yet found clean of exactly these secrets. An image's id is the hash of its content, so what was
 * searched once need not be searched again: Caddy and Postgres stay the same from one release to the next.
 */
export function unproven(images: Image[], secrets: Record<string, string>): Image[] {
  return images.filter((image) => !existsSync(markOf(image, secrets)))
}

/** Remembers that these images were searched for these secrets and found clean. */
export function remember(images: Image[], secrets: Record<string, string>): void {
  mkdirSync(folder, { recursive: true })
  for (const image of images) writeFileSync(markOf(image, secrets), '')
}

/** Named by a hash over the image's id and the secrets; neither can be read back from it. */
function markOf(image: Image, secrets: Record<string, string>): string {
  const hash = createHash('sha256').update(image.id)
  for (const [name, value] of Object.entries(secrets).sort()) hash.update(`\0${name}\0${value}`)
  return join(folder, hash.digest('hex'))
}
