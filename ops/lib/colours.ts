import { type Colour, colours, compose, runningId } from './compose.ts'
import { Fail, outcomeOf, undoing } from './fail.ts'
import type { Host } from './host.ts'
import { paths } from './paths.ts'
import { lines, sh } from './sh.ts'

/** Caddy asks every 500 ms; after so many seconds it has seen a change at least three times, unless the app is very slow. */
export const noticed = 2

/** The colours that may take requests, the one that serves first. Empty before the first deploy. */
export async function liveColours(host: Host): Promise<Colour[]> {
  const text = await host.read(sh`cat ${paths.live} 2>/dev/null || true`)
  return text.split(/\s+/).filter((word): word is Colour => (colours as readonly string[]).includes(word))
}

/**
 * Says which colours are ready: `/__ready` in each web container answers from this file, and Caddy follows it.
 * Renamed into place and on the disk, so that a crash or a reboot at any moment leaves one whole answer.
 */
export async function setLive(host: Host, live: Colour[]): Promise<void> {
  await host.put(paths.live, `${live.join(' ')}\n`, { mode: '0444' })
  await host.run(sh`sleep ${noticed}`)
}

/**
 * Starts a colour afresh on the image that compose.env names and waits until its own health check passes.
 * @throws Fail `failed` with the end of the container's log; the container is gone then, the live colour untouched
 */
export async function startColour(host: Host, colour: Colour): Promise<void> {
  const service = `web-${colour}` as const
  try {
    await host.run(compose(sh`up -d --no-deps --force-recreate --wait --wait-timeout 90 ${service} 2>&1`), {
      timeout: 150,
    })
  } catch (error) {
    const log = await host
      .read(compose(sh`logs --no-color --no-log-prefix --tail 40 ${service} 2>&1`))
      .catch(() => 'it could not be read')
    const said = `${service} did not become healthy: ${(error as Error).message}\nIts log:\n${log}`
    await undoing(new Fail(outcomeOf(error), said), () => removeColour(host, colour))
  }
}

/** Moves requests from one colour to the other: both ready, then only the new one. No request is cut, none is refused. */
export async function switchTo(host: Host, from: Colour, to: Colour): Promise<void> {
  await setLive(host, [from, to])
  await setLive(host, [to])
}

/** Waits until the requests that a colour still has are answered (at most 40 s, see drain.cjs), then stops it by id and removes it. */
export async function removeColour(host: Host, colour: Colour): Promise<void> {
  await host.run(
    lines(
      sh`ids=$(docker ps -aq --no-trunc --filter label=com.docker.compose.project=everyskill --filter ${`label=com.docker.compose.service=web-${colour}`})`,
      sh`[ -z "$ids" ] || { docker stop -t 45 $ids; docker rm -f $ids; } >/dev/null`,
    ),
    { timeout: 120 },
  )
}

/** Runs inside a web container: asks for a page up to 100 times or for 3 s; the first bad answer ends it. */
const askOften = `
const [name, path] = process.argv.slice(1)
const { Agent, get } = require('node:http')
const agent = new Agent({ keepAlive: true })
const ask = () => new Promise((done, fail) => {
  const asked = get({ agent, host: '127.0.0.1', port: 2000, path, headers: { host: name }, timeout: 10000 }, (answer) => {
    if (answer.statusCode >= 400) fail(new Error('HTTP ' + answer.statusCode))
    answer.resume().on('end', done)
  })
  asked.on('error', fail).on('timeout', () => asked.destroy(new Error('no answer in 10 s')))
})
async function often() {
  const end = Date.now() + 3000
  for (let n = 0; n < 100 && Date.now() < end; n++) await ask()
}
often().catch((error) => { console.error(error.message); process.exitCode = 1 }).finally(() => agent.destroy())`

/**
 * Asks the app inside a colour's container for a page, with the public name in the Host header: often, because a process
 * that has just started is several times slower, and would meet the first real requests like that.
 */
export async function smokeInside(host: Host, colour: Colour, name: string, path: string): Promise<void> {
  const ask = sh`docker exec $(${runningId(`web-${colour}`)}) node -e ${askOften} ${name} ${path}`
  await host.run(sh`for _ in 1 2; do ${ask} && exit 0; sleep 1; done; ${ask}`)
}
