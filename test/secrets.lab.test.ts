/**
 * No secret is where it should not be. Every program that is started on both machines during build, bootstrap, deploy, backups
 * and restores is recorded, with argv and environment (test/lab/execs.pl); then both file systems, the logs and Docker's own
 * records are searched. What may hold a secret is written down below, with the reason. Each check has to find something planted for it.
 *
 * Not looked into here: the operator's image store and build cache (`ops/build.ts` proves each image layer by layer), compressed
 * files, and deleted blocks of a disk, for which the disk is encrypted.
 */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { parse } from 'dotenv'
import * as assert from 'uvu/assert'
import type { Name } from '../ops/lib/names.ts'
import { namesAt, places } from '../ops/lib/places.ts'
import { describe } from './describe.ts'
import { nextVersion } from './lab/app.ts'
import { attempted } from './lab/begin.ts'
import { containerName } from './lab/containers.ts'
import { asCron, loud, quiet } from './lab/cron.ts'
import { deployed } from './lab/deployed.ts'
import { type Exec, enginePids, machinePid, recordExecs } from './lab/execs.ts'
import { ops, type Run } from './lab/ops.ts'
import { type Found, type Needles, readableByOthers, search } from './lab/search.ts'
import { forms, privateKeyNeedles, secretNeedles, secretOf } from './lab/secrets.ts'
import { $, LAB, labPath, ROOT } from './lab/shell.ts'
import type { World } from './lab/world.ts'
import { envWith } from './ops/deploy-helpers.ts'

const dir = '/opt/everyskill/env'
const web = namesAt('web')
const repo = '/opt/everyskill/repo/'
const actionsKey = 'NEXT_SERVER_ACTIONS_ENCRYPTION_KEY'

/** Where secrets may rest on the server, and why. `WEB` is a web container's id. */
const onServer: [file: RegExp, secrets: readonly string[], why: string][] = [
  [RegExp(`^${dir}/web\\.env$`), web, 'what Compose gives the web containers as their environment'],
  [/^\/var\/lib\/docker\/containers\/WEB\/config\.v2\.json$/, web, "the engine's record of that environment"],
  [
    /^\/run\/(docker\/)?containerd\/.*\/moby\/WEB\/config\.json$/,
    web,
    "containerd's record of it, in memory",
  ],
  // Its free pages keep what a removed container had: a rotated secret stays there until they are used again.
  [/^\/var\/lib\/(docker\/)?containerd\/.*\/meta\.db$/, web, "containerd's record of it, on the disk"],
  [RegExp(`^${dir}/caddy/hetzner_dns_api_token$`), ['HETZNER_DNS_API_TOKEN'], 'Caddy reads it'],
  [RegExp(`^${dir}/postgres/db_password$`), ['DB_PASSWORD'], 'read when the database is made'],
  [RegExp(`^${dir}/postgres/db_app_password$`), ['DB_APP_PASSWORD'], 'read when the roles are made'],
  [RegExp(`^${dir}/pgbackrest/cipher\\.conf$`), ['BACKUP_CIPHER_PASS'], 'pgBackRest reads it'],
  [RegExp(`^${dir}/backup\\.env$`), ['ALERT_URL'], 'where cron finds it'],
  [RegExp(`^${dir}/migrate/database_url$`), ['DATABASE_URL', 'DB_APP_PASSWORD'], 'the migrator reads it'],
  [
    /^\/var\/lib\/docker\/overlay2\/\w+\/diff\/app\/apps\/web\/\.next\/server\/./,
    [actionsKey],
    "Next writes it into its server's manifests; the web image counts as secret",
  ],
]

/** The same for the operator's machine. */
const onOperator: [file: RegExp, secrets: RegExp, why: string][] = [
  [/^\.lab\/\.env$/, /./, 'the configuration itself'],
  [/^\.lab\/certs\/dns-token$/, /^HETZNER_DNS_API_TOKEN$/, 'what the fake Hetzner API accepts'],
  [/^\.lab\/certs\/hcloud-token$/, /^HCLOUD_TOKEN$/, 'the same, for the Storage Box'],
  [
    /^\.lab\/luks\/env\/\w*\.env$/,
    /^HCLOUD_TOKEN$/,
    'the configuration for the machine with the encrypted disk',
  ],
  [/^\.lab\/(keys|gnupg)\//, /^(keys|gnupg)\//, 'the private keys themselves'],
]

/** Each file below /opt/everyskill/env and its owner, the uid that reads it; none but the one without a secret is for others. */
const owners: Record<string, number> = {
  'backup.env': 0,
  'backup/recipient-1.asc': 0,
  'backup/recipient-2.asc': 0,
  'backup/storagebox_key': 0,
  'backup/storagebox_known_hosts': 0,
  'caddy/hetzner_dns_api_token': 1000,
  'compose.env': 0,
  'migrate/database_url': 1001,
  'pgbackrest/cipher.conf': 999,
  'pgbackrest/pgbackrest.conf': 0,
  'postgres/db_app_password': 999,
  'postgres/db_password': 999,
  'web.env': 0,
}

const serverPaths = ['/', '!/proc', '!/sys', '!/dev', '!/var/lib/docker/overlay2/*/merged']
const home = (path: string) => join(homedir(), path)
const operatorPaths = [ROOT, home('.cache/everyskill-ops'), home('.docker'), home('.npm/_logs'), '/var/log']
/** On the server. Its folder is one that nobody would think of. */
const plantedFile = '/var/lib/everyskill-planted'

/** What the scripts do while they are watched. Between bootstrap and deploy cron is put aside: its turn comes when we want it. */
const work = [
  ['build'],
  ['bootstrap'],
  ['deploy'],
  ['backup', 'full'],
  ['backup', 'dump'],
  ['backup', 'files'],
  ['backup', 'ship', '--once'],
  ['backup', 'drill'],
  ['restore', '--from', 'local'],
  ['restore-dump'],
] as const
const watchFile = '/var/backups/everyskill/shipping/watch.json'

describe('secrets', { timeout: 120_000 }, ({ test, before, after }) => {
  const canary = randomBytes(32).toString('hex')
  const runs: Record<string, Run> = {}
  const webIds = new Set<string>()
  let world: World
  let needles: Needles = {}
  let keys: Needles = {}
  let execs: Exec[] = []
  /** What the search of the server found; the planted file too. */
  let onDisk: { files: number; found: Found[] }
  /** What was in the folder for temporary files before the scripts ran. */
  let tmpBefore: string[] = []
  /** What cron's look at the backups said, and what it wrote down. */
  let looked = { said: '', wrote: '' }
  /** PID namespaces of the two machines, outside of any container on them. */
  let bare: string[] = []

  before(
    async () => {
      world = await deployed()
      // Nobody listens there (fetch asks no port 9): a secret address shows where an error may name it.
      const alerts = `https://127.0.0.1:2/${randomBytes(24).toString('hex')}`
      const env = envWith(world, labPath('alerts.env'), { ALERT_URL: alerts })
      needles = { ...secretNeedles(env), ...forms('CANARY', canary) }
      keys = await privateKeyNeedles()
      await nextVersion(`secrets ${new Date().toISOString()}`)
      await noteWebContainers()
      tmpBefore = readdirSync(tmpdir())
      const roots = { operator: [process.pid], engine: enginePids(), server: [await machinePid('server')] }
      const recording = await recordExecs(roots)
      try {
        await plant()
        for (const words of work) {
          runs[words.join(' ')] = await attempted(env, [...words])
          if (words[0] === 'bootstrap') await quiet(world)
        }
        await world.server.exec(`echo '{ "undelivered": "an earlier one" }' > ${watchFile}`)
        looked = {
          said: await asCron(world, /status --alert/),
          wrote: await world.server.exec(`cat ${watchFile}`),
        }
        await noteWebContainers()
      } finally {
        execs = await recording.stop()
        rmSync(env)
      }
      const planted = execs.filter((exec) => exec.program.endsWith('/echo') && exec.argv[1] === canary)
      bare = planted.map((exec) => exec.namespace)
      await $({ input: canary })`docker exec -i ${containerName('server')} bash -c ${`cat > ${plantedFile}`}`
      try {
        onDisk = await search('server', serverPaths, { ...needles, ...keys, ...operatorOnly() })
      } finally {
        await world.server.exec(`rm -f ${plantedFile}`)
      }
    },
    { timeout: 1_200_000 },
  )

  after(
    async () => {
      await loud(world)
      await world.server.exec(`rm -f ${watchFile}`)
      await ops(['bootstrap'])
    },
    { timeout: 120_000 },
  )

  /** The ids of the web containers, from labels that Compose sets: not from what a process says of itself. */
  async function noteWebContainers(): Promise<void> {
    const ids = await world.server.exec(
      'for colour in blue green; do docker ps -aq --no-trunc --filter label=com.docker.compose.service=web-$colour; done',
    )
    for (const id of ids.split('\n').filter(Boolean)) webIds.add(id)
  }

  /** On each machine one command with the canary in argv, and one with it in its environment. */
  async function plant(): Promise<void> {
    const script = 'read -r planted; /bin/echo "$planted"; PLANTED="$planted" /bin/true'
    const input = `${canary}\n`
    const pinned = ['-o', 'BatchMode=yes', '-o', `UserKnownHostsFile=${labPath('known_hosts')}`]
    await $({ input })`bash -c ${script}`
    await $({
      input,
    })`ssh -i ${labPath('keys', 'operator')} ${pinned} ${`root@${world.server.address}`} ${script}`
  }

  /** `SECRET in argv|env of PROGRAM on SIDE` for every needle that a program was started with. */
  function leaks(part: 'argv' | 'env', allowed: (exec: Exec, secret: string) => boolean): string[] {
    const all = Object.entries({ ...needles, ...keys })
    const found = execs.flatMap((exec) => {
      const text = exec[part].join('\n')
      const held = all.filter(([, needle]) => text.includes(needle.toString('latin1')))
      return [...new Set(held.map(([name]) => secretOf(name)))]
        .filter((secret) => !allowed(exec, secret))
        .map((secret) => `${secret} in ${part} of ${exec.program} on ${exec.side}`)
    })
    return [...new Set(found)].sort()
  }

  /** In the control group of a web container, and out of the server's own PID namespace. */
  const inWeb = (exec: Exec) =>
    exec.side === 'server' &&
    !bare.includes(exec.namespace) &&
    [...webIds].some((id) => exec.groups.split(';').some((group) => group.endsWith(`/${id}`)))

  /** In a container that BuildKit made for a RUN step. */
  const inBuild = (exec: Exec) =>
    exec.side === 'engine' && !bare.includes(exec.namespace) && /\/buildkit\/\w+(;|$)/.test(exec.groups)

  test('the scripts did their work, and said no secret', () => {
    assert.equal(
      Object.keys(runs),
      work.map((words) => words.join(' ')),
    )
    for (const [verb, run] of Object.entries(runs)) {
      assert.is(run.code, 0, `${verb}: ${run.stderr}`)
      assert.equal(heldBy(run.stdout + run.stderr), [], verb)
    }
    assert.is(looked.said, '')
    assert.match(looked.wrote, /"the alert address does not answer: .*ECONNREFUSED/)
    assert.equal(heldBy(looked.wrote), [])
  })

  test('the record covers every part of the work', () => {
    const started = (side: string, words: RegExp) =>
      execs.some((exec) => exec.side === side && words.test(exec.argv.join(' ')))
    const parts: [string, RegExp][] = [
      ['operator', /docker buildx build/],
      ['operator', /^ssh .*pipefail/s],
      ['operator', /^gpg .*--decrypt/],
      ['engine', /next.* build/],
      ['server', /^node migrate\.mjs/],
      ['server', /^node .*apps\/web\/server\.js/],
      ['server', /^(\/\S*\/)?pg_dump /],
      ['server', /^(\/\S*\/)?pg_restore /],
      ['server', /^gpg .*--encrypt/],
      ['server', /^rsync /],
      ['server', /^pgbackrest .*backup --type=/],
      ['server', /^pgbackrest .*archive-push/],
      ['server', /^pgbackrest .*archive-get/],
      ['server', /^pgbackrest .*restore/],
      ['server', /^(\/\S*\/)?pg_amcheck /],
      ['server', /^postgres/],
    ]
    const missing = parts.filter(([side, words]) => !started(side, words))
    assert.equal(missing.map(String), [])
    assert.is(bare.length, 2)
    assert.ok(execs.some(inWeb) && execs.some(inBuild))
  })

  test('no secret is in any argv; a planted one is found on both machines', () => {
    const found = leaks('argv', () => false)
    const planted = ['operator', 'server'].map((side) => `CANARY in argv of /usr/bin/echo on ${side}`)
    assert.equal(found, planted)
  })

  test('no secret is in any environment but where only that is read; a planted one is found on both machines', () => {
    const found = leaks(
      'env',
      (exec, secret) =>
        // The design's exception, and the one key that Next takes from its environment alone while it builds.
        (inWeb(exec) && web.includes(secret as Name)) || (inBuild(exec) && secret === actionsKey),
    )
    const planted = ['operator', 'server'].map((side) => `CANARY in env of /usr/bin/true on ${side}`)
    assert.equal(found, planted)
  })

  test('on the server each secret is in its documented files only', async () => {
    assert.ok(onDisk.files > 10_000, `${onDisk.files} files`)
    assert.ok(onDisk.found.some((one) => one.name === 'CANARY' && one.file === plantedFile))
    const found = onDisk.found.filter((one) => one.file !== plantedFile && !(one.name in operatorOnly()))
    const allowed = ({ name, file }: Found) =>
      onServer.some(([path, secrets]) => path.test(named(file)) && secrets.includes(secretOf(name)))
    assert.equal(texts(found.filter((one) => !allowed(one))), [])
    const unused = onServer.filter(([path]) => !found.some((one) => path.test(named(one.file))))
    assert.equal(unused.map(String), [], 'the table tells what is')
    assert.equal(await readableByOthers('server', [...new Set(found.map((one) => one.file))]), [])
    assert.equal(await readableByOthers('server', ['/etc/passwd']), ['/etc/passwd'], 'the probe works')
  })

  /** A path with the ids of web containers as `WEB`. */
  const named = (file: string) => file.replace(/[0-9a-f]{64}/, (id) => (webIds.has(id) ? 'WEB' : id))

  test('what only the operator may know is not on the server, neither value nor name', () => {
    assert.ok('HCLOUD_TOKEN' in operatorOnly() && 'HCLOUD_TOKEN=' in operatorOnly())
    // This repository is there, and it names every setting.
    const found = onDisk.found.filter((one) => one.name in operatorOnly() && !one.file.startsWith(repo))
    assert.equal(texts(found), [])
    assert.ok(onDisk.found.some((one) => one.name === 'HCLOUD_TOKEN=' && one.file.startsWith(repo)))
  })

  /** The names that have no place but the operator's machine, as an assignment, and their values. */
  function operatorOnly(): Record<string, string> {
    const env = parse(readFileSync(world.env))
    // The server's own .env says `SERVER_HOST=local`.
    const alone = namesAt('operator').filter((name) => places[name].length === 1 && name !== 'SERVER_HOST')
    const others = Object.entries(env).filter(([name]) => !alone.includes(name as Name))
    const values = alone
      .map((name) => [name, env[name] ?? ''] as const)
      // A plain word, or a part of a value that does belong there, proves nothing.
      .filter(([, value]) => value.length >= 8 && !others.some(([, other]) => other.includes(value)))
    return Object.fromEntries([...values, ...alone.map((name) => [`${name}=`, `${name}=`])])
  }

  test('on the operator machine each secret is in its documented files only', async () => {
    const planted = mkdtempSync(join(tmpdir(), 'everyskill-planted-'))
    try {
      writeFileSync(join(planted, 'file'), `before ${canary} after\n`)
      const left = readdirSync(tmpdir()).filter(
        (name) => !tmpBefore.includes(name) || /^everyskill-\d+-/.test(name),
      )
      const paths = [...operatorPaths, ...left.map((name) => join(tmpdir(), name))]
      const { found } = await search(undefined, paths, { ...needles, ...keys })
      assert.ok(found.some((one) => one.name === 'CANARY' && one.file.startsWith(planted)))
      const rest = found.filter((one) => !one.file.startsWith(planted))
      const allowed = ({ name, file }: Found) =>
        onOperator.some(([path, secrets]) => path.test(relative(ROOT, file)) && secrets.test(secretOf(name)))
      assert.equal(texts(rest.filter((one) => !allowed(one))), [])
      assert.equal(await readableByOthers(undefined, [...new Set(rest.map((one) => one.file))]), [])
    } finally {
      rmSync(planted, { recursive: true })
    }
  })

  test('no log holds a secret', async () => {
    const logs = await world.server.exec('for id in $(docker ps -aq); do docker logs "$id" 2>&1; done')
    const files = await world.server.exec(
      'cat /opt/everyskill/audit.log; find /var/log -type f -exec cat {} +',
    )
    assert.match(logs, /database system is ready to accept connections/)
    assert.match(files, /"action":"deploy"/)
    assert.equal(heldBy(logs + files), [])
    const { files: count, found } = await search(
      undefined,
      [join(LAB, 'logs'), labPath('dockerd.log')],
      needles,
    )
    assert.ok(count > 1)
    assert.equal(texts(found), [])
  })

  test('docker inspect of caddy and postgres shows no secret; of the app it shows what the design says', async () => {
    const inspect = (service: string) =>
      world.server.exec(
        `docker inspect $(docker ps -aq --filter label=com.docker.compose.service=${service}) $(docker image ls -q everyskill/${service.slice(0, 8)})`,
      )
    for (const service of ['caddy', 'postgres']) assert.equal(heldBy(await inspect(service)), [], service)
    const live = await world.server.exec('cut -d " " -f 1 /opt/everyskill/live/colours')
    const shown = heldBy(
      await world.server.exec(
        `docker inspect $(docker ps -q --filter label=com.docker.compose.service=web-${live})`,
      ),
    )
    assert.ok(shown.includes('DB_APP_PASSWORD'), 'the probe works')
    assert.equal(
      shown.filter((secret) => !web.includes(secret as Name)),
      [],
    )
  })

  test('every file of the environment folder is 0400 and belongs to who reads it', async () => {
    const lines = await world.server.exec(`cd ${dir}; find . -type f -printf '%P %m %U\\n' | sort`)
    const mode = (file: string) => (file === 'pgbackrest/pgbackrest.conf' ? 444 : 400)
    const wanted = Object.entries(owners).map(([file, uid]) => `${file} ${mode(file)} ${uid}`)
    assert.equal(lines.split('\n').sort(), wanted.sort())
  })

  const heldBy = (text: string) => [
    ...new Set(
      Object.entries({ ...needles, ...keys })
        .filter(([, needle]) => text.includes(needle.toString()))
        .map(([name]) => secretOf(name)),
    ),
  ]
  const texts = (found: Found[]) => found.map(({ name, file }) => `${name}: ${file}`)
})
