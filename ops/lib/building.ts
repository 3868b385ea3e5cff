import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { basesLabel, imageOf, type Role } from './images.ts'
import { local } from './local.ts'

const docker = join(import.meta.dirname, '../../docker')

/** What each image is built from. Without a context of its own, the context is the app's checkout. */
const sources: Record<Role, { file: string; target?: string; context?: string }> = {
  web: { file: join(docker, 'Dockerfile'), target: 'runner' },
  migrate: { file: join(docker, 'Dockerfile'), target: 'migrate' },
  caddy: { file: join(docker, 'Dockerfile.caddy'), context: docker },
  postgres: { file: join(docker, 'Dockerfile.postgres'), context: docker },
}

export interface Build {
  /** The app's checkout. */
  dir: string
  sha: string
  /** Such as linux/amd64. */
  platform: string
  /** Build arguments; one without a value keeps the Dockerfile's default. Nothing secret: they stay in the image's history. */
  args: Record<string, string | undefined>
  /** Only show the command: no base image is pulled to learn its digest. */
  dryRun: boolean
}

/** The argv that builds an image. The web's reads the server actions key on stdin. */
export async function buildCommand(
  role: Role,
  { dir, sha, platform, args, dryRun }: Build,
): Promise<string[]> {
  const { file, target, context } = sources[role]
  const given = Object.entries(args).filter(([, value]) => value !== undefined)
  const labels = [
    ...(context ? titleOf(role) : revisionOf(role, sha)),
    `${basesLabel}=${dryRun ? 'read when it is built' : await basesOf(file, args)}`,
  ]
  return [
    ...['docker', 'buildx', 'build', '--load', '--provenance=false', '--platform', platform, '--file', file],
    ...(target ? ['--target', target] : []),
    ...(role === 'web' ? ['--secret', 'id=next_server_actions_encryption_key,src=/dev/stdin'] : []),
    ...given.flatMap(([name, value]) => ['--build-arg', `${name}=${value}`]),
    ...labels.flatMap((label) => ['--label', label]),
    ...['--tag', imageOf(role, sha), context ?? dir],
  ]
}

function revisionOf(role: Role, sha: string): string[] {
  const about = { title: `everyskill-${role}`, revision: sha, version: sha }
  return Object.entries(about).map(([name, value]) => `org.opencontainers.image.${name}=${value}`)
}

/** Without a revision: the same Caddy or Postgres must stay the same image from one app commit to the next. */
function titleOf(role: Role): string[] {
  return [`org.opencontainers.image.title=everyskill-${role}`]
}

/** The images that a Dockerfile names in its `ARG …_IMAGE=` lines, or those given instead: `NAME@sha256:… NAME@sha256:…`. */
async function basesOf(file: string, given: Record<string, string | undefined>): Promise<string> {
  const args = [...readFileSync(file, 'utf8').matchAll(/^ARG (\w+_IMAGE)=(\S+)/gm)]
  const found = []
  for (const [, name = '', byDefault = ''] of args) found.push(await withDigest(given[name] ?? byDefault))
  return found.join(' ')
}

/** Pulls the image when it is not here yet. A stand-in has no registry digest; its own id takes that place. */
async function withDigest(base: string): Promise<string> {
  const format = '{{if .RepoDigests}}{{index .RepoDigests 0}}{{else}}{{.Id}}{{end}}'
  const found =
    await local`docker image inspect ${base} >/dev/null 2>&1 || docker pull -q ${base} >/dev/null; docker image inspect --format ${format} ${base}`
  return `${base}@${found.stdout.trim().replace(/^.*@/, '')}`
}
