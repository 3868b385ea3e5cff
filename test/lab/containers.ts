import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { $, $try, labPath, text } from './shell.ts'

export const NETWORK = 'everyskill-lab'
const LABEL = 'everyskill.lab=true'

export type Container = {
  /** The container is named everyskill-lab-NAME and made from the image everyskill-lab/NAME. */
  name: string
  address: string
  options?: string[]
  /** Named volumes and where they are mounted; they live and die with the container. */
  volumes?: Record<string, string>
  /** Puts files in place before the first start. */
  prepare?: (container: string) => Promise<void>
}

export const containerName = (name: string) => `everyskill-lab-${name}`

export async function ensureNetwork(): Promise<void> {
  if ((await $try`docker network inspect ${NETWORK}`).ok) return
  await $`docker network create --label ${LABEL} --subnet 10.88.0.0/24 --gateway 10.88.0.1 ${NETWORK}`
}

/** Leaves a container that is as described alone, starts one that stands still, makes any other anew. True if made. */
export async function ensureContainer(container: Container): Promise<boolean> {
  const name = containerName(container.name)
  const spec = await describe(container)
  const format = '{{index .Config.Labels "everyskill.lab.spec"}} {{.State.Running}}'
  const [found, running] = (await text($try`docker container inspect --format ${format} ${name}`)).split(' ')
  if (found === spec) {
    if (running !== 'true') await $`docker start ${name}`
    return false
  }
  await removeContainer(container)
  const volumes = Object.entries(container.volumes ?? {})
  for (const [volume] of volumes) await $`docker volume create --label ${LABEL} ${volume}`
  const options = [
    ...['--name', name, '--hostname', container.name, '--init', '--restart', 'no'],
    ...['--label', LABEL, '--label', `everyskill.lab.spec=${spec}`],
    ...['--network', NETWORK, '--ip', container.address],
    ...volumes.flatMap(([volume, path]) => ['--volume', `${volume}:${path}`]),
    ...(container.options ?? []),
  ]
  await $`docker create ${options} everyskill-lab/${container.name}`
  await container.prepare?.(name)
  await $`docker start ${name}`
  return true
}

/** Removes a container with its volumes: the machine is lost. Another container that has one of them mounted goes too. */
export async function removeContainer(container: Container): Promise<void> {
  await $try`docker rm --force --volumes ${containerName(container.name)}`
  for (const volume of Object.keys(container.volumes ?? {})) {
    const others = await text(
      $`docker ps --all --quiet --filter ${`volume=${volume}`} --filter ${`label=${LABEL}`}`,
    )
    if (others) await $`docker rm --force --volumes ${others.split('\n')}`
    await $`docker volume rm --force ${volume}`
  }
}

/** Removes what carries the lab's label, and nothing else. */
export async function removeAll(): Promise<void> {
  const filter = `label=${LABEL}`
  const words = (list: string) => list.split(/\s+/).filter(Boolean)
  const containers = words(await text($`docker ps --all --quiet --filter ${filter}`))
  if (containers.length > 0) await $`docker rm --force --volumes ${containers}`
  const volumes = words(await text($`docker volume ls --quiet --filter ${filter}`))
  if (volumes.length > 0) await $`docker volume rm ${volumes}`
  const networks = words(await text($`docker network ls --quiet --filter ${filter}`))
  if (networks.length > 0) await $`docker network rm ${networks}`
  removeControlGroups()
}

/** The server's own engine dies with its container and leaves empty control groups on this machine. */
function removeControlGroups(): void {
  const root = '/sys/fs/cgroup'
  for (const path of [
    join(root, 'everyskill-lab'),
    ...directories(root).map((d) => join(d, 'everyskill-lab')),
  ]) {
    removeTree(path)
  }
}

function removeTree(path: string): void {
  for (const child of directories(path)) removeTree(child)
  try {
    rmdirSync(path)
  } catch {
    // Not there, or still in use: then it is not ours to force.
  }
}

function directories(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(path, entry.name))
  } catch {
    return []
  }
}

/** Of this checkout: machines that another checkout made hold other keys, and could not be reached. */
function publicKeys(): string[] {
  const files = readdirSync(labPath('keys')).filter((file) => file.endsWith('.pub'))
  return files.sort().map((file) => readFileSync(labPath('keys', file), 'utf8'))
}

async function describe(container: Container): Promise<string> {
  const image = await text($`docker image inspect --format {{.Id}} everyskill-lab/${container.name}`)
  const { name, address, options, volumes } = container
  const all = JSON.stringify({ image, name, address, options, volumes, keys: publicKeys() })
  return createHash('sha256').update(all).digest('hex').slice(0, 16)
}
