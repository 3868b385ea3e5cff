import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { debianMirror } from './engine.ts'
import { $, $try, labDir, labPath, ROOT, step, text } from './shell.ts'

const SOURCES = join(ROOT, 'test/lab/images')
const HOST_CA = '/etc/ssl/certs/ca-certificates.crt'
const DEBIAN = 'debian:trixie-slim'

/** npm packages of which the stand-in for the official Node image is made. */
const nodePackages = [`node-linux-${process.arch}@22.23.3`, 'corepack@0.34.7', 'npm@10.9.4']

/** The build arguments of docker/ that a stand-in can take the place of, and which one. */
const standInOf = {
  NODE_IMAGE: 'everyskill-lab/node',
  POSTGRES_IMAGE: 'everyskill-lab/postgres',
  CADDY_BUILDER_IMAGE: 'everyskill-lab/caddy-builder',
  CADDY_IMAGE: 'everyskill-lab/caddy',
  REGISTRY_IMAGE: 'everyskill-lab/registry',
} as const

export type Images = {
  /** Values for the build arguments, empty where the official images can be pulled. */
  buildArgs: Partial<Record<keyof typeof standInOf, string>>
  /** What is a stand-in, in words. */
  standIns: string[]
}

let registryAnswers: Promise<boolean> | undefined

/** True if official images can be pulled: asked once in a process, with a short time limit. */
export function canPull(): Promise<boolean> {
  registryAnswers ??= $try`timeout 20 docker manifest inspect ${DEBIAN}`.then((out) => out.ok)
  return registryAnswers
}

/** Builds (or finds already built) every image of the lab, and the stand-ins where they are needed. */
export async function buildImages(): Promise<Images> {
  const pull = await canPull()
  if (!pull) await base()
  // The builder compiles, the others mostly wait for packages.
  await Promise.all([pull || build('caddy-builder', []), otherImages(pull)])
  return pull
    ? { buildArgs: {}, standIns: [] }
    : { buildArgs: { ...standInOf }, standIns: await listStandIns() }
}

async function otherImages(pull: boolean): Promise<void> {
  const standIns = pull ? [] : ['node', 'postgres', 'caddy', 'registry']
  for (const name of standIns) await build(name, [])
  await build('server', [...baseArgs(pull), `CHECK_VALID_UNTIL=${await checksValidity()}`])
  await build('storagebox', baseArgs(pull))
  await build('pebble', baseArgs(pull))
  await build('hetzner', [`NODE_IMAGE=${pull ? officialNode() : standInOf.NODE_IMAGE}`])
}

async function listStandIns(): Promise<string[]> {
  const images = Object.entries(standInOf).map(([arg, image]) => `${image} for ${arg}`)
  const env = await text(
    $`docker image inspect --format '{{json .Config.Env}}' ${standInOf.CADDY_BUILDER_IMAGE}`,
  )
  const module = env.includes('=/opt/hetzner-module')
    ? ['its hetzner-module for github.com/caddy-dns/hetzner/v2']
    : []
  return ['everyskill-lab/base for debian:trixie-slim', ...images, ...module]
}

/** Whether the host's apt refuses package indexes past their date; a mirror may be frozen at one. */
async function checksValidity(): Promise<boolean> {
  const setting = await text($`apt-config dump Acquire::Check-Valid-Until`)
  return !/"(false|no|0|off)"/i.test(setting)
}

/** Builds one stand-in, for a caller that needs no more of the lab, such as a test of the app's image. */
export async function standIn(name: string): Promise<string> {
  await base()
  return await build(name, [])
}

/** Builds the virtual machine whose power can be cut; only its own tests need it. */
export async function vmImage(): Promise<string> {
  const pull = await canPull()
  if (!pull) await base()
  return build('vm', baseArgs(pull))
}

/** Builds the machine whose disk is encrypted, with its rescue system and the archive of a root file system. */
export async function luksImage(): Promise<string> {
  const pull = await canPull()
  if (!pull) await base()
  return build('luks', baseArgs(pull))
}

function baseArgs(pull: boolean): string[] {
  return pull ? [`BASE=${DEBIAN}`] : []
}

/** The official name that docker/Dockerfile has as its default. */
function officialNode(): string {
  const found = /^ARG NODE_IMAGE=(\S+)/m.exec(readFileSync(join(ROOT, 'docker/Dockerfile'), 'utf8'))
  if (!found?.[1]) throw new Error('docker/Dockerfile has no default for NODE_IMAGE')
  return found[1]
}

/** Builds test/lab/images/NAME unless an image of the same sources and build arguments is there. */
async function build(name: string, args: string[]): Promise<string> {
  const tag = `everyskill-lab/${name}`
  const base = await imageLabel('everyskill-lab/base')
  const sources = hash([
    ...files(join(SOURCES, name)),
    base,
    args.join(),
    ...(name === 'node' ? nodePackages : []),
  ])
  if ((await imageLabel(tag)) === sources) return tag
  await step(`build ${tag}`, async () => {
    const context = name === 'node' ? await npmPackages() : join(SOURCES, name)
    if (name === 'caddy-builder') args.push(`HETZNER_MODULE=${await hetznerModule()}`)
    const buildArgs = args.flatMap((arg) => ['--build-arg', arg])
    const labels = ['--label', `everyskill.lab.sources=${sources}`]
    await $({ timeout: '900s' })`docker build --progress plain --tag ${tag} ${labels} ${buildArgs} \
      --file ${join(SOURCES, name, 'Dockerfile')} ${context}`
  })
  return tag
}

/** The stand-in for debian:trixie-slim: debootstrap, once; its root file system is kept under .lab/cache. */
async function base(): Promise<void> {
  const slim = join(SOURCES, 'base', 'slim.sh')
  const key = hash([readFileSync(slim), readFileSync(HOST_CA)])
  if ((await imageLabel('everyskill-lab/base')) === key) return
  const tar = labPath('cache', `base-${key}.tar`)
  if (!existsSync(tar)) await step('debootstrap Debian trixie', () => debootstrap(slim, tar))
  const labels = ['everyskill.stand-in=true', `everyskill.lab.sources=${key}`]
  const changes = [...labels.map((label) => `LABEL ${label}`), 'CMD ["bash"]']
  await $`docker import ${changes.flatMap((change) => ['--change', change])} ${tar} everyskill-lab/base`
}

async function debootstrap(slim: string, tar: string): Promise<void> {
  const mirror = await debianMirror()
  const root = mkdtempSync(labPath('cache', 'root-'))
  try {
    await $({ timeout: '900s' })`debootstrap --variant=minbase trixie ${root} ${mirror}`
    await $`${slim} ${root} ${mirror}; tar --numeric-owner --one-file-system -C ${root} -cf ${tar}.part .`
    renameSync(`${tar}.part`, tar)
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}

/** Empty where the module proxy has the DNS module of docker/Dockerfile.caddy; else where its stand-in is, for xcaddy. */
async function hetznerModule(): Promise<string> {
  const dockerfile = readFileSync(join(ROOT, 'docker/Dockerfile.caddy'), 'utf8')
  const version = /^ARG HETZNER_VERSION=(\S+)/m.exec(dockerfile)?.[1]
  if (!version) throw new Error('docker/Dockerfile.caddy has no default for HETZNER_VERSION')
  const module = `github.com/caddy-dns/hetzner/v2@${version}`
  const go = 'everyskill-lab/go'
  await $({
    timeout: '900s',
  })`docker build --progress plain --target go --tag ${go} ${join(SOURCES, 'caddy-builder')}`
  const known = await $try({ timeout: '120s' })`docker run --rm ${go} go mod download ${module}`
  return known.ok ? '' : `${module}=/opt/hetzner-module`
}

async function npmPackages(): Promise<string> {
  rmSync(labPath('cache', 'npm'), { recursive: true, force: true })
  const directory = labDir('cache', 'npm')
  await $({ timeout: '300s' })`npm pack --silent --pack-destination ${directory} ${nodePackages}`
  return directory
}

async function imageLabel(tag: string): Promise<string> {
  return await text(
    $try`docker image inspect --format '{{index .Config.Labels "everyskill.lab.sources"}}' ${tag}`,
  )
}

function files(directory: string): Buffer[] {
  const names = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  )
  const paths = names.map((entry) => join(entry.parentPath ?? entry.path, entry.name)).sort()
  return paths.flatMap((path) => [Buffer.from(path.slice(directory.length)), readFileSync(path)])
}

function hash(parts: (string | Buffer)[]): string {
  const sum = createHash('sha256')
  for (const part of parts) sum.update(part).update('\0')
  return sum.digest('hex').slice(0, 16)
}
