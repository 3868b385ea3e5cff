import { until } from './shell.ts'
import type { World } from './world.ts'

const crontab = '/etc/cron.d/everyskill'
const aside = '/root/everyskill.cron'

/** Takes cron's jobs off the server and ends those that run: nothing ships, looks or backs up but the test. */
export async function quiet(world: World): Promise<void> {
  await world.server.exec(`[ ! -e ${crontab} ] || mv ${crontab} ${aside}`)
  await until('cron jobs to end', 60, async () => {
    const left = await world.server.exec(
      "pkill -f 'ops/[b]ackup.ts' || true; pgrep -f 'ops/[b]ackup.ts' || true",
    )
    return left === '' ? true : undefined
  })
  for (const lock of ['backup', 'ship', 'restore'])
    await world.server.exec(`flock -w 60 /run/lock/everyskill-${lock}.lock true`)
}

/** Puts cron's jobs back. */
export async function loud(world: World): Promise<void> {
  await world.server.exec(`[ ! -e ${aside} ] || mv ${aside} ${crontab}`)
}

/**
 * Runs a job of this repository's crontab as cron does: with its shell, its path, its environment and nothing else.
 * @param job tells it from the others
 * @returns what it said, on both streams, and how it ended unless well
 */
export async function asCron(world: World, job: RegExp): Promise<string> {
  const text = await world.server.exec('cat /opt/everyskill/repo/cron/everyskill')
  const line = text.split('\n').find((one) => /^[\d*]/.test(one) && job.test(one))
  const command = /\broot (.*)$/.exec(line ?? '')?.[1]
  if (!command) throw new Error(`no job of the crontab is like ${job}`)
  const settings = text.split('\n').filter((one) => /^[A-Z_]+=/.test(one))
  const env = settings.map((one) => quoted(one)).join(' ')
  return world.server.exec(
    `env -i HOME=/root LOGNAME=root ${env} bash -c ${quoted(command)} 2>&1 || echo "ended with $?"`,
  )
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
