import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { $ } from 'zx'
import { Fail } from './fail.ts'

/** A secret found where it must not be: its name and the file, never its value. */
export interface Leak {
  secret: string
  where: string
}

/**
 * Looks for secret values in an image: in every file of every layer, and in its history and configuration.
 * Each layer is unpacked by itself, because a file that a later layer deletes can still be taken out of the image.
 * The values reach `grep` on stdin, so they are neither in argv nor on a disk.
 * @returns the places where values were found, paths relative to the image's root
 */
export async function leaksIn(image: string, secrets: Record<string, string>): Promise<Leak[]> {
  const dir = mkdtempSync(join(tmpdir(), 'ops-image-'))
  try {
    await $({ input: '' })`docker save ${image} | tar -x -C ${dir} --no-same-owner --no-same-permissions`
    await $({
      input: '',
    })`docker history --no-trunc ${image} > ${dir}/history; docker image inspect ${image} > ${dir}/inspect`
    await unpackLayers(dir)
    const leaks: Leak[] = []
    for (const [secret, value] of Object.entries(secrets)) {
      for (const file of await filesWith(dir, value))
        leaks.push({ secret, where: file.replace(/^.*?\.layer\//, '') })
    }
    return leaks
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** Symbolic links under a directory of an image that lead nowhere; a traced standalone build must have none. */
export async function danglingLinks(image: string, dir: string): Promise<string[]> {
  const found = await $({
    input: '',
  })`docker run --rm --network none --entrypoint find ${image} ${dir} -type l ! -exec test -e {} \; -print`
  return lines(found.stdout)
}

/** @throws Fail `failed` unless Caddy in this image can solve the DNS challenge at Hetzner */
export async function hasHetznerModule(image: string): Promise<void> {
  const modules = await $({
    input: '',
  })`docker run --rm --network none --entrypoint caddy ${image} list-modules`
  if (!/^dns\.providers\.hetzner$/m.test(modules.stdout)) {
    throw new Fail(
      'failed',
      `${image}: Caddy does not list dns.providers.hetzner, so it could never get the certificate`,
    )
  }
}

/** `docker save` writes layers as tar files: NAME/layer.tar (engine's own store) or blobs/sha256/HASH, there perhaps gzipped. */
async function unpackLayers(dir: string): Promise<void> {
  const files = readdirSync(dir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  for (const file of files) {
    const path = join(file.parentPath, file.name)
    const isTar = await $({ nothrow: true, input: '' })`tar -tf ${path}`
    if (!isTar.ok) continue
    await $({
      input: '',
    })`mkdir ${path}.layer; tar -xf ${path} -C ${path}.layer --no-same-owner --no-same-permissions --exclude 'dev/*'; chmod -R u+rwX ${path}.layer; rm ${path}`
  }
}

async function filesWith(dir: string, value: string): Promise<string[]> {
  const found = await $({ nothrow: true, input: `${value}\n` })`grep -rlF -f - ${dir}`
  if (found.exitCode !== 0 && found.exitCode !== 1)
    throw new Fail('failed', `grep could not search the image: ${found.stderr}`)
  return lines(found.stdout)
}

function lines(text: string): string[] {
  return text.split('\n').filter((line) => line !== '')
}
