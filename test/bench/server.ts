import { $, $try, text, until } from '../lab/shell.ts'
import { command, discard, FILES, start, volume } from './containers.ts'

/** What something cost: seconds of CPU of all that ran in the container, and seconds that passed. */
export interface Cost {
  cpu: number
  wall: number
}

/** bash: microseconds of CPU that the container has used, by either version of control groups. */
const usage = `usage() {
  if [ -e /sys/fs/cgroup/cpu.stat ]; then awk '/^usage_usec/ { print $2 }' /sys/fs/cgroup/cpu.stat
  else echo $(($(< /sys/fs/cgroup/cpuacct/cpuacct.usage) / 1000)); fi
}`

/** A database server of a bench, in a container together with every program that is measured. */
export class Server {
  private readonly name: string
  private readonly volumes: string[]

  private constructor(name: string, volumes: string[]) {
    this.name = name
    this.volumes = volumes
  }

  /** A new, empty database as docker-compose.prod.yml configures it, archiving into a new repository. */
  static async create(image: string): Promise<Server> {
    const data = await volume('data')
    await volume('repository')
    await volume('files', image)
    const name = await start('postgres', image, data, ['docker-entrypoint.sh', ...command])
    // By address, as the Compose file does: while the database is being made only the socket answers.
    const ready = ['pg_isready', '--quiet', '--host=127.0.0.1', '--dbname=everyskill']
    await until('the database', 60, async () =>
      (await $try`docker exec ${name} ${ready}`).ok ? true : undefined,
    )
    const server = new Server(name, ['data', 'repository', 'files'])
    await server.exec(`pgbackrest --stanza=everyskill stanza-create
      mkdir -m 700 "$GNUPGHOME"; mkdir ${FILES}/tmp`)
    return server
  }

  /** A container that waits, with the repository and the files of the first one, and a folder for a database. */
  static async idle(image: string): Promise<Server> {
    const data = await volume('restored')
    return new Server(await start('restored', image, data, ['sleep', 'infinity']), ['restored'])
  }

  /** Runs bash, as postgres, and answers with its standard output. */
  async exec(script: string, input = ''): Promise<string> {
    const env = ['GNUPGHOME=/tmp/gnupg', 'PGDATABASE=everyskill', `TMPDIR=${FILES}/tmp`]
    const args = [...env.flatMap((value) => ['--env', value]), this.name]
    return await text($({ input, timeout: '3600s' })`docker exec -i ${args} bash -euo pipefail -c ${script}`)
  }

  /** Runs SQL in one session; columns separated by `|`. */
  sql(code: string): Promise<string> {
    return this.exec('psql -XqAt -v ON_ERROR_STOP=1', code)
  }

  /** As `exec`, but answers with what it cost, the server's own processes included. */
  async measure(what: string, script: string): Promise<Cost> {
    const answer = await this.exec(`${usage}
cpu=$(usage) start=\${EPOCHREALTIME/[.,]/}
{
${script}
} > /dev/null
echo "$(($(usage) - cpu)) $((\${EPOCHREALTIME/[.,]/} - start))"`)
    const [cpu = Number.NaN, wall = Number.NaN] = answer.split(' ').map((part) => Number(part) / 1e6)
    process.stderr.write(`bench: ${what}: ${cpu.toFixed(1)} s of CPU, ${wall.toFixed(1)} s\n`)
    return { cpu, wall }
  }

  /** Ends it; the database and what else was made for it are thrown away. */
  remove(): Promise<void> {
    return discard(this.name, this.volumes)
  }
}
