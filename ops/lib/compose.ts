import { paths } from './paths.ts'
import { type Script, sh } from './sh.ts'

/** The two web services; one is live, the other is free for the next release. */
export const colours = ['blue', 'green'] as const
export type Colour = (typeof colours)[number]
export type Service = 'caddy' | 'postgres' | `web-${Colour}`

export const project = 'everyskill'

/** The colour that is not this one. */
export function otherThan(colour: Colour): Colour {
  return colour === 'blue' ? 'green' : 'blue'
}

/**
 * `docker compose` on the server's files.
 * The IPv6 overlay is taken when compose.env names an address, so that every script and runbook sees the same stack.
 */
export function compose(words: Script): Script {
  const file = `${paths.docker}/docker-compose.prod.yml`
  const overlay = `${paths.docker}/docker-compose.ipv6.yml`
  const env = `${paths.env}/compose.env`
  return sh`docker compose --project-name ${project} --env-file ${env} -f ${file} $(grep -q '^PUBLIC_IPV6=.' ${env} && printf '%s' ${`-f ${overlay}`}) ${words}`
}

/** The id of a service's running container on stdout; nothing when it does not run. */
export function runningId(service: Service | 'migrate'): Script {
  return sh`docker ps -q --no-trunc --filter ${`label=com.docker.compose.project=${project}`} --filter ${`label=com.docker.compose.service=${service}`}`
}
