import { spawn } from 'node:child_process'
import { existsSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { install, missing, operatorPrograms, type Programs } from '../harness/packages.ts'
import { $, $try, labDir, labPath, step, text, until } from './shell.ts'

/** What the lab calls beside the operator's programs. */
const labPrograms: Programs = {
  cryptsetup: 'cryptsetup-bin',
  debootstrap: 'debootstrap',
  dig: 'bind9-dnsutils',
  docker: 'docker.io',
  dockerd: 'docker.io',
  dropbear: 'dropbear-bin',
  faketime: 'faketime',
  ip: 'iproute2',
  iptables: 'iptables',
  sftp: 'openssh-client',
  strace: 'strace',
}

const pidFile = () => labPath('dockerd.pid')
const PLUGINS = '/usr/libexec/docker/cli-plugins'

/** Makes sure that an engine answers and that compose, buildx and the operator's tools exist. Needs root to install. */
export async function ensureEngine(): Promise<void> {
  await installPackages()
  if (!(await answers())) await step('start a Docker engine', startEngine)
  await installPlugins()
}

/** True if a Docker engine answers. */
export async function answers(): Promise<boolean> {
  return (await $try`timeout 20 docker version --format {{.Server.Version}}`).ok
}

/** Stops the engine if `ensureEngine` started it; true if it did. */
export async function stopEngine(): Promise<boolean> {
  const pid = startedPid()
  if (pid === undefined) return false
  process.kill(pid, 'SIGTERM')
  await until('the engine to stop', 60, async () => (startedPid() === undefined ? true : undefined))
  rmSync(pidFile(), { force: true })
  return true
}

/** The id of the engine we started, if that process is still a dockerd. */
function startedPid(): number | undefined {
  if (!existsSync(pidFile())) return undefined
  const pid = Number(readFileSync(pidFile(), 'utf8'))
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === 'dockerd' ? pid : undefined
  } catch {
    return undefined
  }
}

async function startEngine(): Promise<void> {
  const log = openSync(labPath('dockerd.log'), 'a')
  const engine = spawn('dockerd', [], { detached: true, stdio: ['ignore', log, log] })
  const gone = new Promise<never>((_, reject) => {
    engine.once('error', reject)
    engine.once('exit', (code) => reject(new Error(`dockerd ended (${code}); see .lab/dockerd.log`)))
  })
  writeFileSync(pidFile(), String(engine.pid))
  await Promise.race([until('the engine', 60, async () => ((await answers()) ? true : undefined)), gone])
  gone.catch(() => {})
  engine.unref()
}

async function installPackages(): Promise<void> {
  const packages = missing({ ...operatorPrograms, ...labPrograms })
  if (packages.length === 0) return
  await step(`install ${packages.join(' ')}`, async () => {
    install(packages)
    // From Debian 13 on the client is a package of its own.
    install(missing({ docker: 'docker-cli' }))
    // A service manager may need a moment to bring the new engine up by itself.
    for (let i = 0; i < 10 && existsSync('/run/systemd/system') && !(await answers()); i++) await sleep(1000)
  })
}

async function installPlugins(): Promise<void> {
  if ((await composeWorks()) && (await $try`docker buildx version`).ok) return
  await step('install the compose and buildx plugins', async () => {
    const ubuntu = /^ID(_LIKE)?=.*ubuntu/m.test(readFileSync('/etc/os-release', 'utf8'))
    if (ubuntu) install(['docker-compose-v2', 'docker-buildx'])
    else await pluginsFromNewerDebian()
    if (!(await composeWorks())) throw new Error('docker compose 2.30 or newer is needed')
  })
}

/** Compose 2.30 brought `format: raw` for env files. */
async function composeWorks(): Promise<boolean> {
  const version = await $try`docker compose version --short`
  const [, major = 0, minor = 0] = (/(\d+)\.(\d+)/.exec(version.stdout) ?? []).map(Number)
  return version.ok && (major > 2 || (major === 2 && minor >= 30))
}

/** Fetches the two packages from a newer suite without letting the host's apt know of that suite. */
async function pluginsFromNewerDebian(): Promise<void> {
  const apt = labDir('cache', 'apt')
  labDir('cache', 'apt', 'lists', 'partial')
  writeFileSync(`${apt}/sources.list`, `deb ${await debianMirror()} sid main\n`)
  const own = [
    ['Dir::Etc::SourceList', `${apt}/sources.list`],
    ['Dir::Etc::SourceParts', '/dev/null'],
    ['Dir::State::Lists', `${apt}/lists`],
    ['Dir::Cache', apt],
    ['APT::Sandbox::User', 'root'],
  ].flatMap(([name, value]) => ['-o', `${name}=${value}`])
  await $({ timeout: '300s' })`apt-get ${own} update -qq`
  await $({ cwd: apt, timeout: '300s' })`apt-get ${own} download -qq docker-compose docker-buildx`
  const unpacked = `${apt}/unpacked`
  await $({ cwd: apt })`for deb in *.deb; do dpkg -x "$deb" ${unpacked}; done; rm -f *.deb`
  await $`mkdir -p ${PLUGINS}; find ${unpacked} -path '*/cli-plugins/docker-*' -exec install -m 755 {} ${PLUGINS} ';'`
  rmSync(unpacked, { recursive: true, force: true })
}

/** The Debian mirror this machine's apt uses; LAB_DEBIAN_MIRROR names one where the host is no Debian. */
export async function debianMirror(): Promise<string> {
  if (process.env.LAB_DEBIAN_MIRROR) return process.env.LAB_DEBIAN_MIRROR
  const targets = await text($`apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(SITE)'`)
  const site = targets.split('\n').find((line) => line.startsWith('Debian|Debian|'))
  if (!site) throw new Error('apt knows no Debian mirror here: set LAB_DEBIAN_MIRROR to one')
  return site.split('|')[2] as string
}
