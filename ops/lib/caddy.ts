import { runningId } from './compose.ts'
import { Fail, outcomeOf, undoing } from './fail.ts'
import type { Host } from './host.ts'
import { paths } from './paths.ts'
import { sh } from './sh.ts'

/** What the running Caddy has read: a copy of its files, and a digest of them and of the token. */
const loaded = `${paths.root}/caddy-loaded`

const digest = sh`{ cat ${paths.caddy}/* ${`${paths.env}/caddy`}/* 2>/dev/null || true; } | sha256sum | cut -d ' ' -f 1`

/**
 * Reloads a running Caddy when its files are not the ones that it has read, also when an earlier deploy died before it could.
 * A reload closes idle HTTP/1.1 connections, so a request sent at that moment may be cut; hence only when needed.
 * @throws Fail `failed` when Caddy refuses the new files; those that it runs with are put back, for its next start
 */
export async function reloadCaddy(host: Host): Promise<void> {
  const caddy = await host.read(runningId('caddy'))
  const [now, before] = [
    await host.read(digest),
    await host.read(sh`cat ${`${loaded}/digest`} 2>/dev/null || true`),
  ]
  if (caddy === '' || now === before) return
  try {
    await host.run(sh`docker exec -w /etc/caddy ${caddy} caddy reload --force 2>&1`)
  } catch (error) {
    const said = `Caddy refuses its new files and goes on with the old ones: ${(error as Error).message}`
    await undoing(new Fail(outcomeOf(error), said), () =>
      host.run(sh`[ ! -e ${`${loaded}/Caddyfile`} ] || cp -a ${`${loaded}/Caddyfile`} ${paths.caddy}`),
    )
  }
}

/** Notes that Caddy runs with the files as they are now. */
export async function noteCaddy(host: Host): Promise<void> {
  const part = `${loaded}.part`
  await host.run(
    sh`rm -rf ${part}; cp -a ${paths.caddy} ${part}; ${digest} > ${`${part}/digest`}; rm -rf ${loaded}; mv ${part} ${loaded}`,
  )
}
