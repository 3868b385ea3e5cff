/** A server as it is handed over: what is refused on it, what bootstrap puts there, and the first deploy. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { describe } from '../describe.ts'
import { prepareApp } from '../lab/app.ts'
import { attempted } from '../lab/begin.ts'
import { emptyBoxOfOthers } from '../lab/deployed.ts'
import { ops } from '../lab/ops.ts'
import { $, $try, labPath } from '../lab/shell.ts'
import { labUp, type World } from '../lab/world.ts'
import { answering, containers, ended, envWith, filesDigest, liveNow } from './deploy-helpers.ts'

describe('a new server', { timeout: 120_000 }, ({ test, before, after }) => {
  let world: World
  let sha = ''
  const exists = (path: string) => world.server.exec(`[ -e ${path} ] && echo yes || echo no`)
  /** Does something to the server, then the work, and undoes it whatever becomes of that. */
  const meanwhile = async (harm: string, mend: string, work: () => Promise<unknown>) => {
    await world.server.exec(harm)
    try {
      await work()
    } finally {
      await world.server.exec(mend)
    }
  }
  /** Nothing of ours is on the server. */
  const untouched = async () => {
    assert.is(await exists('/opt/everyskill'), 'no')
    assert.is(await world.server.exec('docker ps -aq; docker volume ls -q; docker images -q'), '')
  }

  before(
    async () => {
      world = await labUp()
      sha = await prepareApp()
      await ops(['build'])
      await world.server.replace()
      await emptyBoxOfOthers(world)
    },
    { timeout: 900_000 },
  )
  after(
    async () => {
      if ((await exists('/opt/everyskill/repo')) === 'no') await ops(['bootstrap'])
      if (!(await liveNow())) await ops(['deploy'])
    },
    { timeout: 300_000 },
  )

  test('without a tool or an engine that answers is refused with 3, with the mend', async () => {
    await meanwhile('mv /usr/bin/rsync /usr/bin/.away', 'mv /usr/bin/.away /usr/bin/rsync', async () => {
      const { stderr } = await ended(3, 'bootstrap')
      assert.match(stderr, /the server lacks rsync\. Run there: apt-get install rsync/)
    })
    await meanwhile('mv /usr/bin/docker /usr/bin/.away', 'mv /usr/bin/.away /usr/bin/docker', async () => {
      const bootstrap = await ended(3, 'bootstrap')
      assert.match(bootstrap.stderr, /the server lacks docker\. Run there: apt-get install docker-ce/)
      const deploy = await ended(3, 'deploy')
      assert.match(deploy.stderr, /no Docker engine answers: systemctl start docker, or install it/)
    })
    const socket = '/run/docker.sock'
    await meanwhile(`mv ${socket} ${socket}.away`, `mv ${socket}.away ${socket}`, async () => {
      assert.match(
        (await ended(3, 'bootstrap')).stderr,
        /no Docker engine with Compose answers.*Cannot connect/s,
      )
      assert.match((await ended(3, 'deploy')).stderr, /no Docker engine answers.*systemctl start docker/)
    })
    await untouched()
  })

  test('gets no recipients that a backup could not be opened or made with: two in one file, or an expired one', async () => {
    const dir = mkdtempSync('/tmp/gpg-')
    const refused = async (name: string, file: string) => {
      const env = envWith(world, join(dir, `${name}.env`), { BACKUP_GPG_RECIPIENTS: file })
      const { code, stderr } = await attempted(env, ['bootstrap'])
      assert.is(code, 2, stderr)
      return stderr
    }
    try {
      const gpg = [
        'gpg',
        '--homedir',
        dir,
        '--batch',
        '--quiet',
        '--passphrase',
        '',
        '--pinentry-mode',
        'loopback',
      ]
      const past = ['--faked-system-time', '20200101T000000']
      await $`${gpg} ${past} --quick-generate-key old default default 1y; ${gpg} --quick-generate-key new default default never`
      await $`${gpg} --armor --export > ${dir}/both.asc; ${gpg} --armor --export old > ${dir}/old.asc`
      assert.match(
        await refused('both', `${dir}/both.asc`),
        /both\.asc holds 2 keys, and gpg would encrypt to the first/,
      )
      assert.match(
        await refused('old', `${dir}/old.asc`),
        /old\.asc holds a key that cannot encrypt: expired/,
      )
      writeFileSync(`${dir}/none.asc`, '-----BEGIN PGP PUBLIC KEY BLOCK-----\n')
      assert.match(
        await refused('one', labPath('recipients', 'custodian-a.asc')),
        /BACKUP_GPG_RECIPIENTS: two custodians at least/,
      )
      assert.match(await refused('none', `${dir}/none.asc`), /holds no public key that gpg can read/)
    } finally {
      await $try`gpgconf --homedir ${dir} --kill gpg-agent`
      rmSync(dir, { recursive: true, force: true })
    }
    await untouched()
  })

  test('with a port taken (as by tailscale serve) refuses a deploy with 3 and names the holder', async () => {
    const listener =
      'use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalAddr => "0.0.0.0:443", Listen => 5, ReuseAddr => 1) or die; sleep 60'
    await meanwhile(
      `perl -e '${listener}' > /dev/null 2>&1 & echo $! > /tmp/listener; for i in $(seq 50); do [[ -n $(ss -Hlt 'sport = :443') ]] && exit; sleep 0.1; done; exit 1`,
      'kill $(cat /tmp/listener)',
      async () => {
        const { stderr } = await ended(3, 'deploy')
        assert.match(
          stderr,
          /nothing was changed:\n {2}port 443 is taken on 0\.0\.0\.0 by perl, pid \d+: stop it/,
        )
      },
    )
    await untouched()
  })

  test('with too little space refuses a deploy with 3 and names both sizes', async () => {
    const data = '/var/lib/docker'
    await meanwhile(`mount -t tmpfs -o size=64m none ${data}`, `umount ${data}`, async () => {
      const { stderr } = await ended(3, 'deploy')
      assert.match(stderr, /no space: 0\.1 GB free for Docker, [3-9]\.\d GB needed: docker rmi/)
    })
    await untouched()
  })

  test('has nothing to go back to and says so with 3; its status ends with 1', async () => {
    const { stderr } = await ended(3, 'deploy', '--rollback')
    assert.match(stderr, /nothing is deployed yet, so there is nothing to go back to/)
    const status = await ended(1, 'status', '--json')
    const { live, services, certificate, problems } = JSON.parse(status.stdout)
    assert.equal([live, services, certificate], [null, {}, null])
    assert.match(
      problems.join('\n'),
      /nothing is deployed: tsx ops\/deploy\.ts\n[\s\S]*nobody looked at the backups yet/,
    )
  })

  test('is told by dry runs what would come, and nothing comes', async () => {
    for (const script of ['bootstrap', 'deploy'] as const) {
      const { stdout } = await ended(0, script, '--dry-run')
      assert.match(stdout, /^\[[\w.]+\] \S/)
      assert.not.match(stdout, /is (live|ready)/, 'a dry run claims no success')
    }
    await untouched()
  })

  test('gets what it lacks with --install, Node, this repository and the crontab; again changes nothing that runs', async () => {
    await world.server.exec('dpkg --purge --force-depends rsync > /dev/null 2>&1')
    assert.match((await ended(3, 'bootstrap')).stderr, /the server lacks rsync/)
    assert.match((await ended(0, 'bootstrap', '--install')).stderr, /✓ install rsync/)
    assert.match(await world.server.exec('rsync --version'), /^rsync +version 3/)
    await ops(['bootstrap'])
    const root = '/opt/everyskill'
    assert.match(await world.server.exec(`${root}/node/bin/node --version`), /^v2\d\.\d+\.\d+$/)
    assert.is(
      await world.server.exec(`readlink -f ${root}/repo/.env; stat -c '%a %u' ${root}/env/backup.env`),
      `${root}/env/backup.env\n400 0`,
    )
    assert.is(
      await world.server.exec(
        `cmp ${root}/repo/cron/everyskill /etc/cron.d/everyskill; stat -c '%a %u' /etc/cron.d/everyskill`,
      ),
      '644 0',
    )
    assert.match(
      await world.server.exec('apt-config dump Unattended-Upgrade::Automatic-Reboot'),
      /^Unattended-Upgrade::Automatic-Reboot "false";$/m,
    )
    assert.is(await exists(`${root}/repo/test`), 'no')
    assert.is(await exists(`${root}/repo.part`), 'no')
    const help = await world.server.exec(
      `cd ${root}/repo && PATH=${root}/node/bin:$PATH node_modules/.bin/tsx ops/backup.ts --help`,
    )
    assert.match(help, /^ops\/backup\.ts: /)
  })

  test('gets its first release, with a certificate, and nothing changes when it is bootstrapped again', {
    timeout: 300_000,
  }, async () => {
    await ops(['deploy'])
    assert.equal(await liveNow(), { sha, colour: 'blue' })
    assert.equal(await answering(world), ['blue'])
    const [was, files] = [await containers(world), await filesDigest(world)]
    assert.equal(Object.keys(was).sort(), ['caddy', 'postgres', 'web-blue'])
    await ops(['bootstrap'])
    assert.equal([await containers(world), await filesDigest(world)], [was, files])
    const { stderr } = await ended(3, 'deploy', '--rollback')
    assert.match(stderr, /no such release to go back to/)
  })
})
