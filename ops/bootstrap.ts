/**
 * Makes a server with Docker ready for the other scripts: Node and this repository with its production dependencies (cron
 * runs them there), the backup's configuration, the crontab. Safe to run again; it restarts nothing. Next: ops/deploy.ts.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { $ } from 'zx'
import { operator } from './lib/audit.ts'
import { backupFiles, backupNames } from './lib/backups.ts'
import { type Call, main } from './lib/cli.ts'
import { readEnv } from './lib/env.ts'
import { Fail } from './lib/fail.ts'
import { hostNames, serverOf } from './lib/host.ts'
import { local } from './lib/local.ts'
import { withLocks } from './lib/lock.ts'
import { nodePackage, nodeVersion } from './lib/node.ts'
import { paths } from './lib/paths.ts'
import { privateDir } from './lib/private-dir.ts'
import { neverReboot, startAtBoot } from './lib/reboots.ts'
import { checkRecipients } from './lib/recipients.ts'
import { recorded, revision } from './lib/recorded.ts'
import { lines, type Script, sh } from './lib/sh.ts'
import { putFiles } from './lib/stack.ts'

const help = `
ops/bootstrap.ts: make a server with Docker ready for deploys and backups

Puts Node, this repository with its production dependencies, the backup's
configuration and the crontab on the server, lets Docker and cron start with it, and
tells unattended-upgrades never to reboot: that takes a custodian. Restarts nothing;
what an earlier backup configuration left in env/backup is removed.

  tsx ops/bootstrap.ts

  --install   install the packages that the server lacks (apt), Docker's engine among them
`

const options = { install: { type: 'boolean' } } as const

/** What cron's scripts call on the server, and the Debian and Ubuntu package that has it. */
const tools = {
  docker: 'docker-ce',
  flock: 'util-linux',
  gpg: 'gnupg',
  rsync: 'rsync',
  crontab: 'cron',
  ss: 'iproute2',
}
const repository = join(import.meta.dirname, '..')
const parts = [
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'ops',
  'docker',
  'cron',
  'runbooks',
  '.env.example',
]

await main({ help, options }, async ({ flags, session }: Call<typeof options>) => {
  const env = readEnv(flags.env, [...hostNames, ...backupNames])
  const server = serverOf(flags.env, env, session)
  await checkRecipients(flags.env, env, session)

  const architecture = await session.step('check the engine and the tools', async () => {
    const missing = await server.read(
      sh`for tool in ${Object.keys(tools)}; do command -v "$tool" >/dev/null || echo "$tool"; done`,
    )
    const packages = missing
      .split('\n')
      .filter((tool) => tool !== '')
      .map((tool) => tools[tool as keyof typeof tools])
    if (packages.length > 0 && flags.install)
      await session.step(`install ${packages.join(' ')}`, () =>
        server.run(install(packages), { timeout: 1800 }),
      )
    else if (packages.length > 0)
      throw new Fail(
        'refused',
        `the server lacks ${missing.replaceAll('\n', ', ')}. Run there: apt-get install ${packages.join(' ')}`,
      )
    const engine = await server.probe(
      sh`docker version --format '{{.Server.Version}}' && docker compose version`,
    )
    if (engine.code !== 0 && !session.dryRun)
      throw new Fail(
        'refused',
        `no Docker engine with Compose answers on the server: ${engine.stderr.trim()}`,
      )
    return server.read(sh`uname -m`)
  })

  // No backup either: it runs from the repository that is about to be replaced.
  await withLocks(server, session, ['deploy', 'backup'], { who: operator(), what: 'bootstrap' }, () =>
    recorded(server, session, 'bootstrap', bootstrap),
  )
  if (!session.dryRun) session.result(`${server.name} is ready: tsx ops/deploy.ts`)

  // ---

  async function bootstrap(about: Record<string, string>): Promise<void> {
    about.node = nodeVersion
    await session.step(`put Node ${nodeVersion} in ${paths.node}`, () => putNode(architecture))
    await session.step(`put this repository in ${paths.repo}`, () => putRepository(architecture))
    await session.step("write the backup's configuration", async () => {
      const files = backupFiles(flags.env, env)
      await putFiles(server, files)
      await server.run(onlyThese(files.map((file) => file.path)))
    })
    await session.step('start with the host, which never reboots by itself', async () => {
      await putFiles(server, [neverReboot])
      await server.run(startAtBoot())
    })
    await session.step('install the crontab', async () => {
      const crontab = `${paths.repo}/cron/everyskill`
      await server.run(
        sh`install -m 0644 ${crontab} /etc/cron.d/.everyskill; mv -f /etc/cron.d/.everyskill /etc/cron.d/everyskill`,
      )
    })
  }

  async function putNode(architecture: string): Promise<void> {
    const has = await server.probe(sh`${`${paths.node}/bin/node`} --version`)
    if (has.stdout.trim() === `v${nodeVersion}`) return
    const file = await nodePackage(architecture)
    const part = `${paths.node}.part`
    await server.feed(
      ['cat', file],
      sh`rm -rf ${part}; mkdir -p ${part}; tar -xz -C ${part} --strip-components=1 --no-same-owner
${`${part}/bin/node`} --version >/dev/null; rm -rf ${paths.node}; mv ${part} ${paths.node}`,
    )
  }

  /** Installed here for the server's platform, so that the server needs neither npm nor a way to its registry. */
  async function putRepository(architecture: string): Promise<void> {
    const stage = privateDir(session)
    const cpu = architecture === 'aarch64' ? 'arm64' : 'x64'
    await local`cp -r ${parts.map((part) => join(repository, part))} ${stage}`
    writeFileSync(join(stage, 'REVISION'), `${(await revision()) ?? 'unknown'}\n`)
    await $({ cwd: stage })`npm ci --silent --omit=dev --ignore-scripts --os=linux --cpu=${cpu} --libc=glibc`
    const [part, old] = [`${paths.repo}.part`, `${paths.repo}.old`]
    await server.feed(
      ['tar', '-C', stage, '-cz', '.'],
      sh`rm -rf ${part} ${old}; mkdir -p ${part}; tar -xz -C ${part} --no-same-owner
ln -s ${`${paths.env}/backup.env`} ${`${part}/.env`}
[ ! -e ${paths.repo} ] || mv ${paths.repo} ${old}; mv ${part} ${paths.repo}; rm -rf ${old}`,
    )
  }
})

/** What an earlier configuration left in env/backup goes: a passphrase must not stay behind when keys take its place. */
function onlyThese(files: string[]): Script {
  return sh`for file in ${`${paths.env}/backup`}/*; do
  [ -f "$file" ] || continue
  keep=; for wanted in ${files}; do [ "$file" != "$wanted" ] || keep=1; done
  [ -n "$keep" ] || rm -f "$file"
done`
}

/** The distribution's own packages; on a machine with systemd what was installed is started too. */
function install(packages: readonly string[]): Script {
  const others = packages.filter((name) => name !== tools.docker)
  const engine = sh`case $(. /etc/os-release; echo "$ID") in
  ubuntu) engine='docker.io docker-compose-v2' ;;
  *) engine='docker.io docker-cli docker-compose' ;;
esac`
  return lines(
    packages.includes(tools.docker) ? engine : sh`engine=`,
    sh`export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends $engine ${others.length > 0 ? others : ['ca-certificates']} > /dev/null
if [ -d /run/systemd/system ]; then systemctl enable --now -q \${engine:+docker} cron; fi`,
  )
}
