import { prepareApp } from './app.ts'
import { open } from './browser.ts'
import { loud } from './cron.ts'
import { ops, tryOps } from './ops.ts'
import { until } from './shell.ts'
import { labUp, type World } from './world.ts'

/** The backups' folder, as one sees it on the Storage Box itself. */
export const boxBackups = '/box/everyskill/backups'

/** The lab with a release of the fixture live on its server; what is already so and well is left as it is. Cron does its work. */
export async function deployed(): Promise<World> {
  let world = await labUp()
  const report = await reported()
  if (report && (well(report) || (await recovers()))) {
    await loud(world)
    if (report.certificate || (await newCertificates(world))) return world
  } else if (report) world = await labUp({ fresh: true })
  await emptyBoxOfOthers(world)
  await prepareApp()
  for (const script of ['build', 'bootstrap', 'deploy'] as const) await ops([script])
  return world
}

interface Report {
  services: Record<string, string>
  certificate: unknown
}

/** What `status` tells; undefined while nothing is live. */
async function reported(): Promise<Report | undefined> {
  const { stdout } = await tryOps(['status', '--json'])
  const report = stdout.startsWith('{') ? JSON.parse(stdout) : {}
  return report.live ? report : undefined
}

function well({ services }: Report): boolean {
  const running = Object.values(services).filter((state) => !state.startsWith('Exited'))
  return running.length > 2 && running.every((state) => state.includes('(healthy)'))
}

/** Whether all is well within half a minute: a test that was ended early may have left what never will be. */
function recovers(): Promise<boolean> {
  const again = async () => {
    const report = await reported()
    return report && well(report) ? true : undefined
  }
  return until('healthy services', 30, again).catch(() => false)
}

/** A Pebble that was made anew has another root: what its predecessor issued is worth nothing. True if the site is good then. */
async function newCertificates(world: World): Promise<boolean> {
  await world.server.exec(
    'rm -rf "$(docker volume inspect -f "{{.Mountpoint}}" everyskill_caddy_data)"/caddy/*; docker restart "$(docker ps -q --filter label=com.docker.compose.service=caddy)"',
  )
  const answers = (host: string) =>
    open(world, host, '/').then(
      () => true as const,
      () => undefined,
    )
  return until('new certificates', 60, () =>
    answers(`any.${world.domain}`).then((one) => one && answers(world.domain)),
  ).catch(() => false)
}

/** A server without a database will make a new one, and the box refuses the backups of a second database. */
export async function emptyBoxOfOthers(world: World): Promise<void> {
  const volume = await world.server.exec('docker volume ls -q --filter name=everyskill_postgres_data')
  if (volume === '') await world.storagebox.exec(`rm -rf ${boxBackups}`)
}
