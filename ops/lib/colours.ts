import { type Colour, colours, compose, runningId } from './compose.ts'
import { Fail, outcomeOf, undoing } from './fail.ts'
import type { Host } from './host.ts'
import { paths } from './paths.ts'
import { lines, sh } from './sh.ts'

/** Caddy asks every 500 ms; after this long it has seen a change at least three times. */
const noticed = 2

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

/** Asks the app inside a colour's container for a page, with the public name in the Host header. */
export async function smokeInside(host: Host, colour: Colour, name: string, path: string): Promise<void> {
  const code = `const r=require('node:http').get({host:'127.0.0.1',port:2000,path:process.argv[2],headers:{host:process.argv[1]},timeout:10000},(a)=>{console.log(a.statusCode);process.exit(a.statusCode<400?0:1)});r.on('error',(e)=>{console.error(e.message);process.exit(1)});r.on('timeout',()=>r.destroy(new Error('no answer in 10 s')))`
  const ask = sh`docker exec $(${runningId(`web-${colour}`)}) node -e ${code} ${name} ${path}`
  await host.run(sh`for _ in 1 2; do ${ask} && exit 0; sleep 1; done; ${ask}`)
}
