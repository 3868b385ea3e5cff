/** The real Compose file in a folder laid out as on the server, for tests that need an engine. Needs root, for owners. */
import {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { buildImages } from '../lab/images.ts'
import { $, $try, ROOT, text } from '../lab/shell.ts'

/** A complete env/compose.env. */
export const settings = {
  CADDY_IMAGE: 'everyskill-test/caddy',
  POSTGRES_IMAGE: 'everyskill-test/postgres',
  WEB_BLUE_IMAGE: 'everyskill-test/web:blue',
  WEB_GREEN_IMAGE: 'everyskill-test/web:green',
  MIGRATE_IMAGE: 'everyskill-test/migrate',
  PUBLIC_IPV4: '127.0.0.1',
  ROOT_DOMAIN: 'everyskill.test',
  ACME_EMAIL: 'ops@everyskill.test',
  ACME_DIRECTORY: 'https://pebble:14000/dir',
  ACME_PROPAGATION_DELAY: '1s',
  ACME_RESOLVERS: '',
  TRUSTED_ROOT: '',
}

/** What the archive of a World is encrypted with. */
export const cipherPass = 'cipher-pass-0123456789-0123456789-0123456789'

/** Builds docker/Dockerfile.NAME on the lab's base images. */
export async function build(name: 'caddy' | 'postgres'): Promise<string> {
  const { buildArgs } = await buildImages()
  const args = Object.entries(buildArgs).flatMap(([key, value]) => ['--build-arg', `${key}=${value}`])
  const tag = `everyskill-test/${name}`
  await $({ timeout: '1200s' })`docker build --quiet --tag ${tag} ${args} \
    --file ${join(ROOT, 'docker', `Dockerfile.${name}`)} ${join(ROOT, 'docker')}`
  return tag
}

/** A folder like /opt/everyskill, and Compose in it. */
export class World {
  readonly folder = mkdtempSync(join(tmpdir(), 'everyskill-docker-'))
  readonly project = `everyskill-test-${process.pid}-${Math.random().toString(36).slice(2, 6)}`

  constructor() {
    for (const name of ['docker-compose.prod.yml', 'docker-compose.ipv6.yml', 'drain.cjs']) {
      this.copy(name, join('docker', name))
    }
    this.copy('Caddyfile', 'caddy/Caddyfile')
    this.repository()
    this.settings(settings)
    this.write('env/web.env', '')
    this.write('live/colours', '')
  }

  /** What the database archives into: on the server a folder outside of this one. */
  private repository(): void {
    const compose = join(this.folder, 'docker/docker-compose.prod.yml')
    const text = readFileSync(compose, 'utf8')
    const here = text.replace('source: /var/backups/everyskill/repository,', 'source: ../repository,')
    if (here === text) throw new Error('the Compose file mounts no repository')
    writeFileSync(compose, here)
    mkdirSync(join(this.folder, 'repository'), { mode: 0o700 })
    chownSync(join(this.folder, 'repository'), 999, 999)
    this.copy('pgbackrest.conf', 'env/pgbackrest/pgbackrest.conf')
    this.write('env/pgbackrest/cipher.conf', `[global]\nrepo1-cipher-pass=${cipherPass}\n`, 999)
  }

  private copy(from: string, to: string): void {
    mkdirSync(dirname(join(this.folder, to)), { recursive: true })
    cpSync(join(ROOT, 'docker', from), join(this.folder, to))
  }

  /** Writes a file; with an owner, nobody else can read it. */
  write(path: string, content: string, owner?: number): string {
    const full = join(this.folder, path)
    mkdirSync(dirname(full), { recursive: true })
    writeFileSync(full, content)
    if (owner !== undefined) {
      chmodSync(full, 0o400)
      chownSync(full, owner, owner)
    }
    return full
  }

  settings(values: Record<string, string>): void {
    const lines = Object.entries(values).map(([name, value]) => `${name}=${value}\n`)
    this.write('env/compose.env', lines.join(''))
  }

  /** `docker compose` as deploy calls it, without this process' environment. */
  compose(args: string[], { overlay = false, input = '' } = {}) {
    const files = ['docker-compose.prod.yml', ...(overlay ? ['docker-compose.ipv6.yml'] : [])]
    const env = { PATH: process.env.PATH, HOME: process.env.HOME }
    return $try({ cwd: join(this.folder, 'docker'), env, input, timeout: '120s' })`docker compose \
      --project-name ${this.project} --env-file ../env/compose.env ${files.flatMap((f) => ['-f', f])} ${args}`
  }

  async container(service: string): Promise<string> {
    return await text(this.compose(['ps', '--all', '--quiet', service]))
  }

  async remove(): Promise<void> {
    await this.compose(['--profile', '*', 'down', '--volumes', '--timeout', '3'])
    rmSync(this.folder, { recursive: true })
  }
}
