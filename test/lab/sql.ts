import type { World } from './world.ts'

/** Runs SQL as the administrator in the live database; columns separated by `|`. */
export function sql(world: World, text: string, database = 'everyskill'): Promise<string> {
  const postgres =
    'docker ps -q --filter label=com.docker.compose.project=everyskill --filter label=com.docker.compose.service=postgres'
  const encoded = Buffer.from(text).toString('base64')
  return world.server.exec(
    `echo ${encoded} | base64 -d | docker exec -i -u postgres "$(${postgres})" psql -X -q -v ON_ERROR_STOP=1 -At -d ${database}`,
  )
}
