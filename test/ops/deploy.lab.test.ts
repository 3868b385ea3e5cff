/** A deploy against the lab's server: what it refuses, what it survives, what it changes and what it leaves alone. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { secretsIn } from '../../ops/lib/env.ts'
import { imageOf } from '../../ops/lib/images.ts'
import { describe } from '../describe.ts'
import { attempted } from '../lab/begin.ts'
import { ops } from '../lab/ops.ts'
import { sql } from '../lab/sql.ts'
import type { World } from '../lab/world.ts'
import {
  answering,
  type Change,
  containers,
  deployedHere,
  ended,
  envWith,
  filesDigest,
  forget,
  type Live,
  liveNow,
  releaseFrom,
  watched,
  whileLocked,
} from './deploy-helpers.ts'

/** A web server in place of the app's: `answers` is an expression that gives a status from `path` and `headers`. */
const server = (answers: string): Change => ({
  lines: 'COPY server.js /app/apps/web/server.js',
  files: {
    'server.js': `require('node:http').createServer(({ url: path, headers }, response) => { response.statusCode = ${answers}; response.end(JSON.stringify({ colour: 'broken' })) }).listen(2000)\n`,
  },
})

/** Releases that must not go live: what is wrong, what the operator reads, and the images. */
const broken: [string, RegExp, Partial<Record<'web' | 'migrate', Change>>][] = [
  [
    'that ends at once',
    /web-(blue|green) did not become healthy[\s\S]*Its log:[\s\S]*a setting is missing/,
    {
      web: {
        lines: 'COPY server.js /app/apps/web/server.js',
        files: { 'server.js': "throw new Error('a setting is missing')\n" },
      },
    },
  ],
  ['whose pages fail although it is healthy', /500/, { web: server("path === '/api/health' ? 200 : 500") }],
  [
    'that fails only behind Caddy',
    /https:\/\/everyskill\.test\/ at [0-9.]+: HTTP 500/,
    { web: server("path !== '/' || !headers['x-forwarded-for'] ? 200 : 500") },
  ],
  [
    'with a bad migration',
    /migrate: .*division by zero/,
    {
      migrate: {
        lines:
          'COPY bad.sql migrations/0099_bad.sql\nCOPY journal.mjs /tmp/\nUSER 0\nRUN node /tmp/journal.mjs\nUSER 1001',
        files: {
          'bad.sql': 'create table half_done (id int);\n--> statement-breakpoint\nselect 1/0;\n',
          'journal.mjs': `import fs from 'node:fs'
const file = '/migrate/migrations/meta/_journal.json', journal = JSON.parse(fs.readFileSync(file))
journal.entries.push({ idx: 99, version: '7', when: 4000000000000, tag: '0099_bad', breakpoints: true })
fs.writeFileSync(file, JSON.stringify(journal))\n`,
        },
      },
    },
  ],
]

describe('a deploy', { timeout: 120_000 }, ({ test, before, after }) => {
  let world: World
  let dir = ''
  let home: Live
  let secrets: Record<string, string> = {}
  const made: string[] = []
  const release = async (name: string, change: Parameters<typeof releaseFrom>[2] = {}) => {
    const sha = await releaseFrom(home.sha, name, change)
    made.push(sha)
    return sha
  }
  const noSecretIn = (text: string) => {
    for (const [name, value] of Object.entries(secrets)) assert.not.ok(text.includes(value), `prints ${name}`)
  }
  /** Everything that a deploy could change, in one text. */
  const state = async () =>
    JSON.stringify({
      files: await filesDigest(world),
      containers: await containers(world),
      images: await world.server.exec('docker images -aq --no-trunc | sort -u'),
      audit: await world.server.exec('wc -l < /opt/everyskill/audit.log'),
    })
  const unchanged = async (work: () => Promise<unknown>) => {
    const was = await state()
    await work()
    assert.equal(JSON.parse(await state()), JSON.parse(was))
  }

  before(
    async () => {
      world = await deployedHere()
      dir = mkdtempSync(join(tmpdir(), 'deploy-test-'))
      home = await liveNow()
      secrets = secretsIn(world.env)
    },
    { timeout: 600_000 },
  )
  after(
    async () => {
      if ((await liveNow()).sha !== home.sha) await ops(['deploy', home.sha])
      await forget(world, made)
      rmSync(dir, { recursive: true, force: true })
    },
    { timeout: 120_000 },
  )

  test('is refused with 5 by another host key than the pinned one, and says stop', async () => {
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(dir, 'other')])
    const known = join(dir, 'known_hosts')
    writeFileSync(known, `${world.server.address} ${readFileSync(join(dir, 'other.pub'), 'utf8')}`)
    const env = envWith(world, join(dir, 'other-key.env'), { SERVER_KNOWN_HOSTS: known })
    await unchanged(async () => {
      const { code, stderr } = await attempted(env, ['deploy', home.sha])
      assert.is(code, 5, stderr)
      assert.match(stderr, /not the pinned one[\s\S]*stop/)
    })
  })

  test('is refused with 4 while another one runs, and names it', async () => {
    const holder = 'eve@desk, since this morning, for: deploy 0123abc'
    await whileLocked(world, 'deploy', holder, () =>
      unchanged(async () => {
        const { stderr } = await ended(4, 'deploy', home.sha)
        assert.ok(stderr.includes(`is held by ${holder}`), stderr)
      }),
    )
  })

  test('of a commit that was never built ends with 1 and says what to run', () =>
    unchanged(async () => {
      const { stderr } = await ended(1, 'deploy', '0123456789012345678901234567890123456789')
      assert.match(stderr, /No such image: everyskill\/web:0123[\s\S]*tsx ops\/build\.ts/)
    }))

  test('with --check looks and changes nothing', () =>
    unchanged(() => ended(0, 'deploy', home.sha, '--check')))

  test('with --dry-run prints its commands without a secret and changes nothing', () =>
    unchanged(async () => {
      const { stdout, stderr } = await ended(0, 'deploy', home.sha, '--dry-run')
      for (const part of [/docker pull everyskill\/web:/, /web\.env/, /run --rm .*migrate/, /up -d .*web-/])
        assert.match(stdout, part)
      assert.not.match(stdout, /is live/)
      noSecretIn(stdout + stderr)
    }))

  test('with a DNS token that does not open the zone is refused with 3, and the old token stays', async () => {
    const env = envWith(world, join(dir, 'token.env'), { HETZNER_DNS_API_TOKEN: 'f'.repeat(64) })
    const before = await filesDigest(world)
    const { value, seen } = await watched(world, () => attempted(env, ['deploy', home.sha]))
    assert.is(value.code, 3, value.stderr)
    assert.match(value.stderr, /HETZNER_DNS_API_TOKEN: the API answered 401/)
    assert.not.match(value.stderr, /fffffff/)
    assert.is(await filesDigest(world), before)
    assert.equal([seen.bad, Object.keys(seen.colours)], [[], [home.colour]])
  })

  for (const [name, says, change] of broken) {
    test(`of a release ${name} ends with 1; the old one answers all the time, and nothing is left`, async () => {
      const sha = await release(name, change)
      const was = await containers(world)
      const { value, seen } = await watched(world, () => ended(1, 'deploy', sha))
      assert.match(value.stderr, says)
      noSecretIn(value.stdout + value.stderr)
      assert.equal(await containers(world), was)
      assert.equal(await liveNow(), home)
      assert.equal(await answering(world), [home.colour])
      if (name !== 'that fails only behind Caddy') {
        assert.equal([seen.bad, Object.keys(seen.colours)], [[], [home.colour]])
      } else assert.equal(seen.bad, [])
      assert.is(await sql(world, "select count(*) from pg_class where relname = 'half_done'"), '0')
    })
  }

  test('switches the colour, leaves Caddy and Postgres alone, and goes back with --rollback', {
    timeout: 240_000,
  }, async () => {
    const was = await containers(world)
    const sha = await release('second', { web: { lines: 'LABEL everyskill.test=second' } })
    const { seen } = await watched(world, async () => {
      await ops(['deploy', sha])
      const live = await liveNow()
      assert.is(live.sha, sha)
      assert.is.not(live.colour, home.colour)
      const now = await containers(world)
      assert.equal(Object.keys(now).sort(), ['caddy', 'postgres', `web-${live.colour}`])
      assert.equal([now.caddy, now.postgres], [was.caddy, was.postgres])

      const unknown = await ended(3, 'deploy', '--rollback', 'abcdef')
      assert.match(unknown.stderr, /no such release to go back to[\s\S]*Name one of these:\n {2}\d{8}T/)
      const image = imageOf('web', home.sha)
      await world.server.exec(`docker tag ${image} kept; docker rmi ${image}`)
      const gone = await ended(3, 'deploy', '--rollback')
      await world.server.exec(`docker tag kept ${image}; docker rmi kept`)
      assert.match(gone.stderr, /no longer has everyskill\/web:[\s\S]*tsx ops\/deploy\.ts/)
      await ops(['deploy', '--rollback'])
      assert.equal(await liveNow(), home)
      const back = await containers(world)
      assert.equal([back.caddy, back.postgres], [was.caddy, was.postgres])
    })
    assert.equal(seen.bad, [])
  })

  test('is on record with image ids and the digests of their bases', async () => {
    const newest = await world.server.exec('cat "$(ls /opt/everyskill/releases/*.json | sort | tail -1)"')
    assert.is(JSON.parse(newest).outcome, 'live')
    assert.equal(Object.keys(JSON.parse(newest).images), ['web'], 'a rollback brings its web')
    const shipped = await world.server.exec(
      `grep -l '"outcome": "live"' /opt/everyskill/releases/*.json | xargs grep -l '"migrate"' | sort | tail -1 | xargs cat`,
    )
    const { sha, operator, images } = JSON.parse(shipped)
    assert.match(sha, /^[0-9a-f]{40}$/)
    assert.match(operator, /\S@\S/)
    assert.equal(Object.keys(images).sort(), ['caddy', 'migrate', 'postgres', 'web'])
    for (const { id, bases } of Object.values(images) as { id: string; bases: string }[]) {
      assert.match(id, /^sha256:[0-9a-f]{64}$/)
      assert.match(bases, /^(\S+@sha256:[0-9a-f]{64} ?)+$/)
    }
  })

  test('is a line of the audit log, each with the hash of the one before', async () => {
    const lines = (await world.server.exec('cat /opt/everyskill/audit.log')).split('\n')
    let before = ''
    for (const [i, line] of lines.entries()) {
      const { seq, prev, who, action } = JSON.parse(line)
      const hash = createHash('sha256')
        .update(before === '' ? '' : `${before}\n`)
        .digest('hex')
      assert.equal([seq, prev], [i + 1, hash], line)
      assert.ok(who && action, line)
      before = line
    }
    const last = JSON.parse(before)
    assert.equal(
      [last.action, last.outcome, last.about.sha],
      ['deploy --rollback', 'done', (await liveNow()).sha],
    )
    assert.ok(
      lines.some((line) => /"outcome":"failed: /.test(line)),
      'the failed ones are there too',
    )
    noSecretIn(lines.join('\n'))
  })

  test('leaves each secret in the file of who reads it, and in no other', async () => {
    const files = await world.server.exec(
      "cd /opt/everyskill/env; find . -type f -printf '%P %m %U\\n' | sort",
    )
    const modes = Object.fromEntries(files.split('\n').map((line) => [line.split(' ')[0], line]))
    const wanted = {
      'compose.env': '400 0',
      'web.env': '400 0',
      'caddy/hetzner_dns_api_token': '400 1000',
      'postgres/db_password': '400 999',
      'postgres/db_app_password': '400 999',
      'migrate/database_url': '400 1001',
      'pgbackrest/cipher.conf': '400 999',
    }
    for (const [file, mode] of Object.entries(wanted)) assert.is(modes[file], `${file} ${mode}`)
    const places: Record<string, string> = {
      HETZNER_DNS_API_TOKEN: 'caddy/hetzner_dns_api_token',
      BACKUP_CIPHER_PASS: 'pgbackrest/cipher.conf',
      DB_PASSWORD: 'postgres/db_password',
      DB_APP_PASSWORD: 'migrate/database_url postgres/db_app_password web.env',
      HCLOUD_TOKEN: '',
      NEXT_SERVER_ACTIONS_ENCRYPTION_KEY: '',
    }
    for (const [name, value] of Object.entries(secrets)) {
      const encoded = Buffer.from(value).toString('base64')
      const found = await world.server.exec(
        `cd /opt/everyskill; { grep -rlFf <(echo ${encoded} | base64 -d) --exclude-dir=node --exclude-dir=node_modules . || true; } | sed 's|^./env/||' | sort | tr '\\n' ' '`,
      )
      assert.is(found.trim(), places[name] ?? 'web.env', name)
    }
    const told = await world.server.exec(
      'docker ps -aq --filter label=com.docker.compose.project=everyskill --filter label=com.docker.compose.service=caddy --filter label=com.docker.compose.service=postgres | xargs -r docker inspect; for c in caddy postgres; do id=$(docker ps -q --filter label=com.docker.compose.service=$c); docker inspect $id; docker logs $id 2>&1; done',
    )
    noSecretIn(told)
  })

  test('survives a restart of its container and a crash of the server, by itself', async () => {
    const { colour } = await liveNow()
    const answers = async () => {
      const end = Date.now() + 60_000
      for (;;) {
        const found = await answering(world).catch((error: Error) => error)
        if (!(found instanceof Error)) return found
        if (Date.now() > end) throw found
      }
    }
    await world.server.exec(
      `docker restart $(docker ps -q --filter label=com.docker.compose.service=web-${colour})`,
    )
    assert.equal(await answers(), [colour])
    await world.server.crash()
    await world.server.start()
    assert.equal(await answers(), [colour])
  })
})
