/** From an empty disk to an encrypted system that two custodians unlock: one cycle on a machine of its own. */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import * as assert from 'uvu/assert'
import { startAtBoot } from '../../ops/lib/reboots.ts'
import { banner } from '../../ops/lib/waiting-host.ts'
import { describe } from '../describe.ts'
import { type Exec, recordExecs } from '../lab/execs.ts'
import { forget, recall, remember } from '../lab/luks/cached.ts'
import { recordGuest } from '../lab/luks/guest-execs.ts'
import { archive, gibibytes, keyOf, type Machine, machineUp } from '../lab/luks/machine.ts'
import { passphrase, start } from '../lab/luks/scripts.ts'
import { $, $try, labPath, text, until } from '../lab/shell.ts'
import { playCustodians, playUnlock } from '../runbooks/luks.ts'

const canary = `canary-${passphrase()}`

describe('a server with an encrypted disk', { timeout: 900_000 }, ({ test, before, after }) => {
  let machine: Machine
  let report = ''
  let secrets = { alice: passphrase(), bob: passphrase(), carol: passphrase() }

  const known = () => `${labPath('luks', 'env')}/known_hosts`
  const run = (args: [string, ...string[]], answers: string[] = []) => start(machine.env, args, answers).done
  const good = async (args: [string, ...string[]], answers: string[] = []) => {
    const { code, stdout, stderr } = await run(args, answers)
    assert.is(code, 0, `${args.join(' ')}: ${stderr}`)
    return stdout
  }
  const ssh = (key: string, port: string, hosts: string) => [
    ...['ssh', '-F', 'none', '-p', port, '-i', keyOf(key), '-o', 'IdentitiesOnly=yes', '-o', 'BatchMode=yes'],
    ...['-o', `UserKnownHostsFile=${hosts}`, '-o', 'GlobalKnownHostsFile=/dev/null', '-o', 'LogLevel=ERROR'],
    `root@${machine.address}`,
  ]
  /** Runs a command on the system behind the disk, as the operator. */
  const inside = (script: string) => text($({ timeout: '120s' })`${ssh('operator', '22', known())} ${script}`)
  /** The machine's `.env` with other values. */
  const envWith = (name: string, values: Record<string, string>) => {
    const file = labPath('luks', 'env', `${name}.env`)
    const kept = readFileSync(machine.env, 'utf8').split('\n')
    const lines = kept.map((line) => {
      const [key = ''] = line.split('=')
      return Object.hasOwn(values, key) ? `${key}=${values[key]}` : line
    })
    writeFileSync(file, lines.join('\n'), { mode: 0o600 })
    return file
  }
  /** Waits until Dropbear answers; the console shows its prompt before the network is up. */
  const answers = () =>
    until('Dropbear', 60, async () =>
      /dropbear/i.test((await banner(machine.address, 2222, 5)) ?? '') ? true : undefined,
    )
  /** The machine's power is pulled, and on again: it waits at its prompt, or is unlocked. */
  const restart = async (custodian?: 'alice') => {
    await machine.power('off')
    await machine.power('on')
    await until('the prompt', 180, async () =>
      /Please unlock disk/.test(await machine.console()) ? true : undefined,
    )
    await answers()
    if (custodian) await good(['unlock', '--as', custodian], [secrets[custodian]])
  }

  /** Every argument and environment variable of some programs. */
  const wordsOf = (execs: readonly Exec[]) => execs.flatMap(({ argv, env }) => [...argv, ...env])
  /** No program that was started here or on the machine has seen a passphrase; both records hold what they must. */
  const unseen = (here: readonly Exec[], there: readonly Exec[], wanted: RegExp) => {
    const [ours, theirs] = [wordsOf(here), wordsOf(there)]
    assert.ok(ours.includes(`CONTROL=${canary}`) && theirs.includes(canary), 'the controls were recorded')
    assert.ok(
      there.some(({ argv }) => wanted.test(argv.join(' '))),
      `${wanted} was recorded`,
    )
    for (const secret of Object.values(secrets))
      assert.equal(
        [...ours, ...theirs].filter((word) => word.includes(secret)),
        [],
      )
  }
  /** Records what is started on both sides while some work is done. */
  const recorded = async <T>(work: () => Promise<T>, wanted: RegExp): Promise<T> => {
    const here = await recordExecs({ operator: [process.pid] })
    const there = recordGuest(machine, canary)
    const value = await work()
    const guest = await there.stop()
    await $({ env: { ...process.env, CONTROL: canary } })`true`
    unseen(await here.stop(), guest, wanted)
    return value
  }

  /** Types a wrong passphrase into an ssh with a terminal, waits for what it says to that, then Ctrl-C. @returns all it said */
  const atTerminal = async ([program = '', ...args]: string[], wrong: RegExp) => {
    const child = spawn(program, ['-tt', ...args], { stdio: 'pipe' })
    let said = ''
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (part: string) => {
        said += part
      })
    const over = new Promise((done) => child.once('close', done))
    const shows = (what: RegExp) => until(`${what} in ${said}`, 60, async () => what.test(said) || undefined)
    await shows(/Please unlock disk/)
    child.stdin.write('not the passphrase\r')
    await shows(wrong)
    child.stdin.write('\x03id\r')
    const limit = setTimeout(() => child.kill(), 30_000)
    await over
    clearTimeout(limit)
    return said
  }

  /** @returns the report */
  async function provision(): Promise<string> {
    const words = ['--disk', '/dev/sda', '--serial', machine.serial, '--size', String(gibibytes)]
    const { code, stdout, stderr } = await recorded(
      () =>
        run(
          ['provision-luks', ...words, '--archive', archive, '--confirm', machine.serial],
          [secrets.alice, secrets.bob],
        ),
      /cryptsetup .*luksFormat/,
    )
    assert.is(code, 0, stderr)
    for (const secret of Object.values(secrets)) assert.not.ok(stderr.includes(secret))
    return stdout
  }

  before(
    async () => {
      machine = await machineUp()
      const kept = await recall(machine)
      if (!kept) return forget(machine)
      console.log('NOT PROVISIONED IN THIS RUN: the disk is that of an earlier one with the same scripts')
      secrets = { ...secrets, ...kept.secrets }
      report = kept.report
    },
    { timeout: 1_800_000 },
  )
  after(() => machine?.power('off'))

  test('is made by one command, out of the rescue system; no passphrase is to be seen meanwhile', async () => {
    if (report === '') report = await provision()
    else await restart('alice')
    console.log(report)
    const said = await machine.exec('cat /disk/console.log')
    for (const secret of Object.values(secrets)) {
      assert.not.ok(report.includes(secret) || said.includes(secret))
      assert.is(await machine.found(secret), 0)
    }
  })

  test('has all but /boot on LUKS2 with aes-xts, 512 bits, argon2id at the stated cost', async () => {
    assert.is(
      await inside('findmnt -nro SOURCE /; findmnt -nro SOURCE /boot'),
      '/dev/mapper/cryptroot\n/dev/sda2',
    )
    assert.match(await inside('lsblk -nro NAME,TYPE /dev/sda'), /sda3 part\ncryptroot crypt/)
    const status = await inside('cryptsetup status cryptroot')
    assert.match(status, /type: +LUKS2/)
    assert.match(status, /cipher: +aes-xts-plain64/)
    assert.match(status, /keysize: +512/)
    const dump = await inside('cryptsetup luksDump --dump-json-metadata /dev/sda3')
    const { keyslots } = JSON.parse(dump) as { keyslots: Record<string, { kdf: Record<string, unknown> }> }
    assert.equal(Object.keys(keyslots), ['0', '1'])
    for (const { kdf } of Object.values(keyslots))
      assert.equal([kdf.type, kdf.memory, kdf.time, kdf.cpus], ['argon2id', 65536, 4, 2])
    assert.match(report, /65536/)
  })

  test('tells by name who can unlock it', async () => {
    const listed = await good(['provision-luks', '--custodians', 'list'])
    assert.match(listed, /alice/)
    assert.match(listed, /bob/)
  })

  test('shows nothing of its root on the raw disk; what lies on /boot can be found there', async () => {
    const open = `open-${canary}`
    await inside(`echo ${canary} > /root/canary; echo ${open} > /boot/canary`)
    // There is no Docker on this machine: a unit of that name stands in.
    const unit = '[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n'
    await inside(`printf '${unit}' > /etc/systemd/system/docker.service; ${startAtBoot().text}; sync`)
    await machine.power('off')
    await remember(machine, secrets, report)
    assert.ok((await machine.found(open)) > 0, 'the search finds what is there')
    assert.is(await machine.found(canary), await machine.found(open), 'and nothing else')
  })

  test('tells a wrong passphrase from a wrong key, and unlocks for bob', async () => {
    await restart()
    const stranger = await run(['unlock', '--as', 'bob'], [passphrase()])
    assert.is(stranger.code, 6, stranger.stderr)
    const carols = envWith('stranger', { UNLOCK_SSH_KEY: keyOf('carol') })
    const refused = await start(carols, ['unlock'], [secrets.bob]).done
    assert.is(refused.code, 3, refused.stderr)
    const { stdout, code, stderr } = await run(['unlock', '--as', 'bob'], [secrets.bob])
    assert.is(code, 0, stderr)
    assert.match(stdout, /is unlocked, its root is the encrypted disk/)
    assert.is(await inside('cat /root/canary'), canary)
    const services = 'systemctl is-active docker cron'
    await until('Docker and cron', 60, async () =>
      (await inside(services).catch(() => '')) === 'active\nactive' ? true : undefined,
    )
  })

  test('gives no shell at its prompt, neither over ssh nor on the console, nor in the boot menu', async () => {
    await machine.power('off')
    await machine.power('on')
    const shows = (what: RegExp, seconds: number) =>
      until(String(what), seconds, async () => (what.test(await machine.console()) ? true : undefined))
    await shows(/GNU GRUB/, 60)
    await machine.type('c')
    await shows(/Enter username/, 30)
    await machine.type('\u001b')
    await shows(/access denied/, 30)
    await machine.type('\r')
    await shows(/Please unlock disk/, 240)
    assert.not.match(await machine.console(), /grub>/)
    await answers()
    const hosts = `${labPath('luks', 'env')}/unlock_known_hosts`
    const asked = await $try({ input: 'wrong', timeout: '60s' })`${ssh('alice', '2222', hosts)} id`
    assert.not.match(asked.stdout, /uid=/)
    const refusals = { '-R': '12345:127.0.0.1:22', '-W': '127.0.0.1:22' }
    for (const [flag, where] of Object.entries(refusals)) {
      const [program = '', ...rest] = ssh('alice', '2222', hosts)
      const forward = [flag, where, '-o', 'ExitOnForwardFailure=yes']
      const tried = await $try({ input: 'wrong', timeout: '60s' })`${[program, ...forward, ...rest]}`
      assert.match(tried.stderr, /forwarding failed|administratively prohibited|open failed/, flag)
    }
    const mistaken = await atTerminal(ssh('alice', '2222', hosts), /cryptsetup failed/)
    assert.match(mistaken, /Please unlock disk cryptroot/)
    assert.not.match(mistaken, /\(initramfs\)|BusyBox|# $|uid=/)
    const refused = async () => (await machine.console()).split('bad password or options').length - 1
    for (let i = await refused(), end = i + 4; i < end; i = await refused()) {
      await machine.type('not the passphrase\r')
      await until('the console to refuse it', 60, async () => ((await refused()) > i ? true : undefined))
    }
    assert.not.match(await machine.console(), /\(initramfs\)|BusyBox|# $/)
    await machine.type(`${secrets.alice}\r`)
    await until('the system, unlocked at its console', 240, async () =>
      (await inside('findmnt -nro SOURCE /').catch(() => '')) === '/dev/mapper/cryptroot' ? true : undefined,
    )
  })

  test('is unlocked by who follows the runbook, with the script and by hand', async () => {
    await restart()
    assert.is((await playUnlock(machine, 'bob', secrets.bob)).length, 6)
  })

  test('lets carol in after she was added, and bob no more after he was revoked, by the runbook, which puts the header back too', async () => {
    await good(['unlock', '--as', 'alice'], [secrets.alice])
    const played = await recorded(
      () => playCustodians(machine, { stays: 'alice', comes: 'carol', goes: 'bob' }, secrets),
      /cryptsetup .*luksAddKey/,
    )
    assert.is(played.length, 13)
    const both = ['alice', 'carol'].map((name) => `${keyOf(name)}.pub`).join()
    const three = envWith('carol', { CUSTODIANS: both })
    await restart()
    const bob = await run(['unlock', '--as', 'bob'], [secrets.bob])
    assert.is(bob.code, 3, bob.stderr)
    const old = await run(['unlock', '--as', 'alice'], [secrets.bob])
    assert.is(old.code, 6, 'his passphrase opens nothing')
    assert.is((await start(three, ['unlock', '--as', 'carol'], [secrets.carol]).done).code, 0)
    const backups = await machine.world.storagebox.exec('find /box -path "*luks-headers*" -type f')
    assert.ok(backups.split('\n').length >= 2, backups)
    assert.ok(existsSync(known()) && readFileSync(known(), 'utf8').includes(machine.address))
  })
})
