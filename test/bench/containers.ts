/** The containers of a bench: the image and the settings of production, under names of their own, gone at the end. */
import { chownSync, cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { Fail } from '../../ops/lib/fail.ts'
import { uids } from '../../ops/lib/paths.ts'
import { $, $try, LAB, labDir, ROOT, text } from '../lab/shell.ts'

const LABEL = 'everyskill.bench'
const PREFIX = 'everyskill-bench'
const DERIVED = `${PREFIX}/postgres`

/** Where the volume `files` is, in each container. */
export const FILES = '/bench'

interface Service {
  user: string
  init: boolean
  command: string[]
  environment: Record<string, string>
  tmpfs: string[]
  cap_drop: string[]
  security_opt: string[]
  shm_size: string
  mem_limit: string
}

/** The service postgres of the Compose file. */
const service: Service = parse(readFileSync(join(ROOT, 'docker/docker-compose.prod.yml'), 'utf8'), {
  merge: true,
}).services.postgres

/** The command that production starts Postgres with. */
export const command: readonly string[] = service.command

/** Removes what a bench made: containers, volumes, the derived image, throw-away secrets. */
export async function removeAll(): Promise<void> {
  // What is just being removed by somebody else is an error to docker; what stays is one to the next start.
  await $try`docker ps -aq --filter label=${LABEL} | xargs -r docker rm -fv`
  await $try`docker volume ls -q --filter label=${LABEL} | xargs -r docker volume rm -f`
  await $try`docker image rm ${DERIVED}`
  rmSync(join(LAB, 'bench', 'run'), { recursive: true, force: true })
}

/** @throws Fail `locked` if another bench is at work: they would remove each other's containers */
export async function alone(): Promise<void> {
  const format = `{{.Label "${LABEL}"}}`
  const owners = await text($`docker ps --filter label=${LABEL} --format ${format}`)
  for (const pid of owners.split('\n').filter((word) => /^\d+$/.test(word))) {
    const file = `/proc/${pid}/cmdline`
    const found = existsSync(file) ? readFileSync(file, 'utf8') : ''
    if (found.includes('bench')) throw new Fail('locked', `another bench is at work: process ${pid}`)
  }
}

/** The image asked for, or the newest one of ops/build.ts; with gpg, which the official image has and a stand-in has not. */
export async function benchImage(asked: string | undefined): Promise<string> {
  const known = await text($`docker image ls --format '{{.Repository}}:{{.Tag}}' everyskill/postgres`)
  const image = asked ?? known.split('\n').find((name) => name && !name.includes('<none>'))
  if (!image) throw new Fail('usage', 'no everyskill/postgres image is on this machine: npx tsx ops/build.ts')
  if (!(await $try`docker image inspect ${image}`).ok)
    throw new Fail('usage', `--image ${image}: no such image on this machine`)
  if ((await $try`docker run --rm --label ${LABEL} --entrypoint gpg ${image} --version`).ok) return image
  const install = 'apt-get update -qq && apt-get install -y -qq --no-install-recommends gnupg'
  await $({
    input: `FROM ${image}\nRUN ${install}\n`,
    timeout: '600s',
  })`docker build --quiet --tag ${DERIVED} -`
  return DERIVED
}

/** Makes a volume, and with an image also hands it to postgres: one that hides no folder of the image is root's. */
export async function volume(name: string, image?: string): Promise<string> {
  const full = `${PREFIX}-${name}`
  await $`docker volume create --label ${LABEL} ${full}`
  const chown = ['--user', 'root', '--entrypoint', 'chown', '--volume', `${full}:/volume`]
  if (image) await $`docker run --rm --label ${LABEL} ${chown} ${image} ${service.user} /volume`
  return full
}

/** Starts a container under production's limits, with throw-away secrets where production's lie; answers with its name. */
export async function start(role: string, image: string, data: string, args: string[]): Promise<string> {
  const { config, secrets } = privateFiles()
  const name = `${PREFIX}-${role}`
  const each = (flag: string, values: string[]) => values.flatMap((value) => [flag, value])
  const environment = Object.entries(service.environment).map(([key, value]) => `${key}=${value}`)
  const volumes = [
    `${data}:/var/lib/postgresql/data`,
    `${PREFIX}-repository:/var/lib/pgbackrest`,
    `${PREFIX}-files:${FILES}`,
    `${config}:/etc/pgbackrest/conf.d:ro`,
    `${secrets}:/run/secrets:ro`,
  ]
  const flags = [
    ...['--detach', '--read-only', '--network', 'none', '--name', name, '--label', `${LABEL}=${process.pid}`],
    ...['--user', service.user, '--shm-size', service.shm_size, '--memory', service.mem_limit],
    `--init=${service.init}`,
    ...each('--cap-drop', service.cap_drop),
    ...each('--security-opt', service.security_opt),
    ...each('--tmpfs', service.tmpfs),
    ...each('--env', environment),
    ...each('--volume', volumes),
  ]
  const [program, ...rest] = args
  await $`docker run ${flags} --entrypoint ${program} ${image} ${rest}`
  return name
}

/** Ends a container and throws volumes away. */
export async function discard(name: string, volumes: string[]): Promise<void> {
  await $`docker rm -fv ${name}`
  await $`docker volume rm ${volumes.map((volume) => `${PREFIX}-${volume}`)}`
}

function privateFiles(): { config: string; secrets: string } {
  const config = labDir('bench', 'run', 'conf.d')
  const secrets = labDir('bench', 'run', 'secrets')
  cpSync(join(ROOT, 'docker/pgbackrest.conf'), join(config, 'pgbackrest.conf'))
  writeFileSync(join(config, 'cipher.conf'), '[global]\nrepo1-cipher-pass=a-bench-has-no-secrets\n')
  for (const name of ['db_password', 'db_app_password']) writeFileSync(join(secrets, name), 'no-secret\n')
  for (const path of [config, secrets]) chownSync(path, uids.postgres, uids.postgres)
  return { config, secrets }
}
