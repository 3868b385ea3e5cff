import { setTimeout as sleep } from 'node:timers/promises'
import { Fail } from './fail.ts'
import type { Host } from './host.ts'
import type { Image } from './images.ts'
import { local } from './local.ts'
import type { Session } from './session.ts'
import { sh } from './sh.ts'
import { together } from './together.ts'

/** The port on the server's loopback that leads back to the operator's registry while images travel. */
const serverPort = 5000
const container = 'everyskill-registry'

/**
 * Brings images to the server, only the layers that it lacks: a registry on the operator's loopback, a forward over the
 * ssh connection, a pull by digest. Where the server's sshd refuses the forward, whole images go through a pipe.
 */
export async function ship(
  host: Host,
  session: Session,
  images: Image[],
  registryImage: string,
): Promise<void> {
  if (host.isLocal) return
  const names = images.map((image) => image.name)
  if (session.dryRun)
    return session.wouldRun(
      host.name,
      `docker pull ${names.join(' ')}, through a registry on this machine's loopback`,
    )
  const stopRegistry = () => local`docker rm -f ${container}`.nothrow()
  session.atEnd(stopRegistry)
  try {
    await throughRegistry(host, session, names, await startRegistry(registryImage))
  } finally {
    await stopRegistry()
  }
}

async function throughRegistry(host: Host, session: Session, names: string[], port: string): Promise<void> {
  const pushed = await together(names, async (image) => ({ image, digest: await push(image, port) }))
  // sshd binds `localhost` to ::1 alone, and says yes, when the server has something else on 127.0.0.1.
  const forward = `127.0.0.1:${serverPort}:127.0.0.1:${port}`
  const opened = await local`${host.sshArgv} -O forward -R ${forward}`.nothrow()
  if (!opened.ok) {
    session.say(`  sshd refuses the forward (${opened.stderr.trim()}); sending whole images`)
    return pipe(host, names)
  }
  try {
    await together(pushed, ({ image, digest }) => pull(host, image, digest))
  } finally {
    await local`${host.sshArgv} -O cancel -R ${forward}`.nothrow()
  }
}

/**
 * Loopback only, and only while images travel: the web image is a secret. Its store is a volume, so the next release pushes
 * only what is new.
 */
async function startRegistry(image: string): Promise<string> {
  const port = () => local`docker port ${container} 5000/tcp`.nothrow()
  let answer = await port()
  if (!answer.ok) {
    await local`docker rm -f ${container} >/dev/null 2>&1 || true
docker run -d --name ${container} --restart no -p 127.0.0.1::5000 -v ${container}:/var/lib/registry ${image}`
    answer = await port()
  }
  const found = /:(\d+)\s*$/.exec(answer.stdout.split('\n')[0] ?? '')?.[1]
  if (!found) throw new Fail('failed', `the registry container publishes no port: ${answer.stderr.trim()}`)
  await answering(`http://127.0.0.1:${found}/v2/`)
  return found
}

/** Docker takes connections before the program in the container listens: only an answer counts. */
async function answering(url: string): Promise<void> {
  for (let i = 0; i < 100; i++) {
    const answer = await fetch(url, { signal: AbortSignal.timeout(2000) }).catch(() => undefined)
    if (answer?.ok) return
    await sleep(100)
  }
  throw new Fail('failed', `the registry does not answer at ${url}: docker logs ${container} says why`)
}

async function push(image: string, port: string): Promise<string> {
  const name = `127.0.0.1:${port}/${image}`
  const pushed = await local`docker tag ${image} ${name}; docker push ${name}; docker rmi ${name} >/dev/null`
  const digest = /digest: (sha256:[0-9a-f]{64})/.exec(pushed.stdout)?.[1]
  if (!digest) throw new Fail('failed', `docker push ${image} printed no digest`)
  return digest
}

async function pull(host: Host, image: string, digest: string): Promise<void> {
  const source = `127.0.0.1:${serverPort}/${image.replace(/:[^:]*$/, '')}@${digest}`
  await host.run(
    sh`docker pull -q ${source}; docker tag ${source} ${image}; docker rmi ${source} >/dev/null`,
    { timeout: 1800 },
  )
}

async function pipe(host: Host, images: string[]): Promise<void> {
  await local`docker save ${images} | gzip -1 | ${host.argv(sh`gunzip | docker load`, 3600)}`
}
