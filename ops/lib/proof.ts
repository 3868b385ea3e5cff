import { relative } from 'node:path'
import { $ } from 'zx'
import { Fail } from './fail.ts'
import { local } from './local.ts'

/** A secret found where it must not be: its name and the file, never its value. */
export interface Leak {
  secret: string
  where: string
}

/**
 * Looks for secret values in images: in every file of every layer, and in their history and configuration. Layers are
 * searched one by one, because a file that a later layer deletes can still be taken out of the image; those that the images
 * share, once. The values reach `grep` on stdin, so they are neither in argv nor on a disk.
 * @param dir a private folder with room for the unpacked images
 * @returns the places where values were found; a file's path is the one in its layer
 */
export async function leaksIn(
  images: string[],
  secrets: Record<string, string>,
  dir: string,
): Promise<Leak[]> {
  if (images.length === 0) return []
  await local`docker save ${images} | tar -x -C ${dir} --no-same-owner`
  await local`for image in ${images}; do docker history --no-trunc "$image"; docker image inspect "$image"; done > ${dir}/history-and-configuration`
  await local`find ${dir} -type f | while read -r file; do if gzip -t "$file" 2>/dev/null; then mv "$file" "$file.gz"; gunzip "$file.gz"; fi; done`
  const values = Object.values(secrets)
  const leaks: Leak[] = []
  for (const blob of await filesWith(dir, values)) {
    const files = await unpacked(blob)
    for (const [secret, value] of Object.entries(secrets)) {
      for (const file of await filesWith(files, [value]))
        leaks.push({ secret, where: relative(files, file) || relative(dir, file) })
    }
  }
  return leaks
}

/** Symbolic links under a directory of an image that lead nowhere; a traced standalone build must have none. */
export async function danglingLinks(image: string, dir: string): Promise<string[]> {
  const found =
    await local`docker run --rm --network none --entrypoint find ${image} ${dir} -type l ! -exec test -e {} ';' -print`
  return lines(found.stdout)
}

/** @throws Fail `failed` unless Caddy in this image can solve the DNS challenge at Hetzner */
export async function hasHetznerModule(image: string): Promise<void> {
  const modules = await local`docker run --rm --network none --entrypoint caddy ${image} list-modules`
  if (!/^dns\.providers\.hetzner$/m.test(modules.stdout)) {
    throw new Fail(
      'unverified',
      `${image}: Caddy does not list dns.providers.hetzner, so it could never get the certificate`,
    )
  }
}

/** The folder of a layer's files when the blob is a layer, else the blob itself. */
async function unpacked(blob: string): Promise<string> {
  const files = `${blob}.files`
  const layer = await local`tar -tf ${blob} > /dev/null 2>&1 && mkdir ${files}`.nothrow()
  if (!layer.ok) return blob
  await local`tar -xf ${blob} -C ${files} --no-same-owner --no-same-permissions --exclude 'dev/*'; chmod -R u+rwX ${files}`
  return files
}

async function filesWith(place: string, values: string[]): Promise<string[]> {
  const found = await $({
    nothrow: true,
    input: values.map((value) => `${value}\n`).join(''),
  })`grep -rlF -f - ${place}`
  if (found.exitCode !== 0 && found.exitCode !== 1) {
    throw new Fail('failed', `grep could not search the images: ${found.stderr}`)
  }
  return lines(found.stdout)
}

function lines(text: string): string[] {
  return text.split('\n').filter((line) => line !== '')
}
