import { dirname } from 'node:path'
import { type Colour, colours, compose, runningId, type Service } from './compose.ts'
import type { StackImages } from './compose-env.ts'
import { Fail } from './fail.ts'
import type { ServerFile } from './files.ts'
import type { Host } from './host.ts'
import { imageOf, type Role } from './images.ts'
import { paths, uids } from './paths.ts'
import type { Session } from './session.ts'
import { lines, sh } from './sh.ts'

/** What the stack on the server runs and would run, read from compose.env; nothing before the first deploy. */
export async function stackImages(host: Host): Promise<Partial<StackImages>> {
  const text = await host.read(sh`cat ${`${paths.env}/compose.env`} 2>/dev/null || true`)
  const value = (name: string) => new RegExp(`^${name}=(.+)$`, 'm').exec(text)?.[1]
  const entries = {
    caddy: value('CADDY_IMAGE'),
    postgres: value('POSTGRES_IMAGE'),
    migrate: value('MIGRATE_IMAGE'),
    blue: value('WEB_BLUE_IMAGE'),
    green: value('WEB_GREEN_IMAGE'),
  }
  return Object.fromEntries(Object.entries(entries).filter(([, name]) => name !== undefined))
}

/** The commit that a colour's image was built from. */
export function shaOf(images: Partial<StackImages>, colour: Colour): string {
  return images[colour]?.replace(/^.*:/, '') ?? ''
}

/** The images of a release for one colour; the other colour keeps what it has. */
export function imagesFor(
  sha: string,
  colour: Colour,
  stable: { caddy?: string; postgres?: string },
  now: Partial<StackImages>,
): StackImages {
  const web = imageOf('web', sha)
  const [blue, green] = colours.map((name) => (name === colour ? web : (now[name] ?? web)))
  const { caddy = '', postgres = '' } = stable
  return { caddy, postgres, migrate: imageOf('migrate', sha), blue: blue ?? web, green: green ?? web }
}

/** Writes files for the containers: their folders can be entered by every uid, the files say who reads them. */
export async function putFiles(host: Host, files: ServerFile[]): Promise<void> {
  const folders = [
    ...new Set([dirname(paths.live), paths.releases, ...files.map((file) => dirname(file.path))]),
  ]
  await host.run(
    lines(
      sh`install -d -m 0755 ${paths.root} ${paths.env} ${folders}`,
      sh`install -d -m 0700 ${paths.backups}; install -d -m 0700 -o ${uids.postgres} -g ${uids.postgres} ${paths.repository}`,
    ),
  )
  for (const { path, content, owner, mode } of files) await host.put(path, content, { owner, mode })
}

/**
 * Names a release's Caddy and Postgres after their content. They are rebuilt with every release but seldom change; under a
 * name that changed with each commit, Compose would restart them each time.
 */
export async function stableImages(host: Host, sha: string): Promise<{ caddy: string; postgres: string }> {
  const [caddy, postgres] = await Promise.all([
    byContent(host, 'caddy', sha),
    byContent(host, 'postgres', sha),
  ])
  return { caddy, postgres }
}

async function byContent(host: Host, role: Role, sha: string): Promise<string> {
  const image = imageOf(role, sha)
  const id = await host.read(sh`docker image inspect --format '{{.Id}}' ${image} 2>/dev/null || true`)
  const name = `everyskill/${role}:id-${id.replace('sha256:', '').slice(0, 16) || 'unknown'}`
  await host.run(sh`docker tag ${image} ${name}`)
  return name
}

/**
 * Starts a service, or leaves it alone when it runs: restarting Postgres or Caddy costs seconds of errors.
 * @param restart whether the operator agreed to that cost
 */
export async function ensure(
  host: Host,
  session: Session,
  service: Service,
  restart: boolean,
): Promise<void> {
  const [running, wanted] = await Promise.all([
    host.read(
      sh`docker inspect --format '{{index .Config.Labels "com.docker.compose.config-hash"}}' $(${runningId(service)}) 2>/dev/null || true`,
    ),
    host.read(sh`${compose(sh`config --hash ${service}`)} 2>/dev/null | awk '{ print $2 }' || true`),
  ])
  if (running !== '' && running !== wanted && !restart) {
    session.say(
      `  ${service} runs with older settings or an older image; --restart ${service} renews it and costs seconds of errors`,
    )
    return
  }
  await host.run(compose(sh`up -d --no-deps --wait --wait-timeout 120 ${service} 2>&1`), { timeout: 180 })
}

/**
 * Applies the app's migrations with its own migrator, in a one-off container of the release; safe to run again. A migration
 * is never cut short: what a killed deploy left running goes on, and is waited for by a person.
 * @throws Fail `refused` while one still runs
 */
export async function migrate(host: Host): Promise<void> {
  const busy = await host.read(runningId('migrate'))
  if (busy !== '') {
    throw new Fail(
      'refused',
      `a migration still runs on the server: docker logs -f ${busy.slice(0, 12)}, wait for its end`,
    )
  }
  await host.run(compose(sh`--profile migrate run --rm --no-deps -T migrate 2>&1`), { timeout: 6 * 3600 })
}
