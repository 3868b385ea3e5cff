import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'
import {
  type Container,
  containerName,
  ensureContainer,
  ensureNetwork,
  removeAll,
  removeContainer,
} from './containers.ts'
import { answers as engineAnswers, ensureEngine, stopEngine } from './engine.ts'
import { DOMAIN, writeEnv } from './env.ts'
import { buildImages } from './images.ts'
import { ADDRESS, forgetKeys, makeKeys } from './keys.ts'
import { boxContainer, hetznerContainer, pebbleContainer, serverContainer } from './machines.ts'
import { $, $try, LAB, labPath, step, text, until } from './shell.ts'

export type World = {
  /** Path of the `.env` that points the scripts at the lab. */
  env: string
  domain: string
  /** PEM of the lab's own authority, which Caddy trusts for the fake API and Pebble's directory. */
  ca: string
  /** PEM of the root that issues the public certificates: Pebble's. */
  publicCa: string
  /** The app's checkout. */
  app: string
  server: Machine
  storagebox: Machine
  /** What is a stand-in for an official image, in words; empty where those can be pulled. */
  standIns: string[]
}

/** A container of the lab seen from outside, past its sshd: for checks and for disasters. */
export type Machine = {
  address: string
  /** Runs a bash script as root and returns its stdout without the last newline. @throws if it fails */
  exec: (script: string) => Promise<string>
  /** A crash: every process is gone at once, the page cache survives. */
  crash: () => Promise<void>
  /** Starts it again after a crash, and waits until it can be used. */
  start: () => Promise<void>
  /** A lost machine: removed with its disk, the Storage Box with its snapshots; a new empty one takes its place. */
  replace: () => Promise<void>
}

/**
 * Brings the disposable world up and writes `.lab/.env` for it. A healthy world is left as it is.
 * @param fresh a new empty server and Storage Box; keys, secrets and images are kept
 */
export async function labUp({ fresh = false } = {}): Promise<World> {
  await enoughDisk()
  await ensureEngine()
  const { buildArgs, standIns } = await buildImages()
  await makeKeys()
  const env = writeEnv(buildArgs)
  writeFileSync(labPath('certs', 'dns-token'), env.HETZNER_DNS_API_TOKEN ?? '', { mode: 0o600 })
  writeFileSync(labPath('certs', 'hcloud-token'), env.HCLOUD_TOKEN ?? '', { mode: 0o600 })
  writeFileSync(labPath('stand-ins.json'), JSON.stringify(standIns))
  await ensureNetwork()
  if (fresh) for (const machine of [serverContainer(), boxContainer()]) await removeContainer(machine)
  const made = await step('start the containers', () =>
    Promise.all([ensureContainer(serverContainer()), ensureContainer(pebbleContainer()), ensureBox()]),
  )
  await step(`wait for ${made.some(Boolean) ? 'the new machines' : 'the machines'}`, ready)
  return lab()
}

/** The Storage Box, then Hetzner, which has the box's volume mounted and so is lost with it. True if the box was made. */
async function ensureBox(): Promise<boolean> {
  const made = await ensureContainer(boxContainer())
  await ensureContainer(hetznerContainer())
  return made
}

/** The server has no disk of its own, and its `status` calls one over 85 % full a problem. */
async function enoughDisk(): Promise<void> {
  const percent = Number(await text($`df -P / | awk 'END { sub("%", "", $5); print $5 }'`))
  if (percent > 85)
    throw new Error(`lab: / is ${percent} % full, and more than 85 % fail the tests of status: free some`)
}

/** Removes the lab's containers, volumes and network. `all`: its images, caches and keys too, and the engine if the lab started it. */
export async function labDown({ all = false } = {}): Promise<void> {
  if (await engineAnswers()) {
    await removeAll()
    if (all) {
      const images = await text(
        $`docker images --format '{{.Repository}}:{{.Tag}}' --filter reference='everyskill-lab/*'`,
      )
      const names = images.split('\n').filter(Boolean)
      if (names.length > 0) await $`docker rmi --force ${names}`
    }
  }
  if (!all) return
  forgetKeys()
  await stopEngine()
  for (const name of ['cache', 'app', 'stand-ins.json'])
    rmSync(labPath(name), { recursive: true, force: true })
}

/** The lab that is up. @throws if there is none */
export function lab(): World {
  const env = labPath('.env')
  if (!existsSync(env)) throw new Error('the lab is not up: npm run lab:up')
  return {
    env,
    domain: DOMAIN,
    ca: labPath('ca.pem'),
    publicCa: labPath('pebble-root.pem'),
    app: join(LAB, 'app'),
    server,
    storagebox,
    standIns: JSON.parse(readFileSync(labPath('stand-ins.json'), 'utf8')),
  }
}

function machine(describe: () => Container): Machine {
  const { name, address } = describe()
  const container = containerName(name)
  return {
    address,
    exec: async (script) => {
      const run = await $try`docker exec ${container} bash -euo pipefail -c ${script}`
      if (!run.ok) throw new Error(`${name}: ${script}: exit ${run.exitCode}: ${run.stderr.trim()}`)
      return run.stdout.trimEnd()
    },
    crash: async () => {
      await $`docker kill ${container}`
    },
    start: async () => {
      await $`docker start ${container}`
      await ready()
    },
    replace: async () => {
      await removeContainer(describe())
      await ensureContainer(describe())
      await ensureContainer(hetznerContainer())
      await ready()
    },
  }
}

export const server = machine(serverContainer)
export const storagebox = machine(boxContainer)

async function ready(): Promise<void> {
  const works = (probe: Promise<unknown>) =>
    probe.then(
      () => true as const,
      () => undefined,
    )
  await until('the server: its engine and sshd', 60, () =>
    works(server.exec('docker info > /dev/null && [[ -n $(ss -Hlt "sport = :22") ]]')),
  )
  await until('the Storage Box', 30, () =>
    works(storagebox.exec('[[ -e /run/sshd ]] && pgrep -f "sshd.*-p 23"')),
  )
  await until('the name server', 30, () =>
    works($`dig +short +time=1 +tries=1 @${ADDRESS.hetzner} ${DOMAIN}`),
  )
  const root = await until('Pebble', 30, () => fetchText(`https://${ADDRESS.pebble}:15000/roots/0`))
  writeFileSync(labPath('pebble-root.pem'), root)
}

/** The body of a 200 from a host that shows a certificate of the lab's authority. */
function fetchText(url: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const asked = request(
      url,
      { ca: readFileSync(labPath('ca.pem')), timeout: 2000, agent: false },
      (response) => {
        let body = ''
        response.on('data', (part) => {
          body += part
        })
        response.on('end', () => resolve(response.statusCode === 200 ? body : undefined))
      },
    )
    asked.on('timeout', () => asked.destroy(new Error('timed out')))
    asked.on('error', () => resolve(undefined))
    asked.end()
  })
}
