/** The script against a real Dropbear and a port that says what sshd says. The whole start is test/ops/*.luks.test.ts. */
import { spawn } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import { describe } from '../describe.ts'
import { folders } from '../folders.ts'
import { freePort, type Unlockable, unlockable } from '../prompt.ts'

const root = join(import.meta.dirname, '../..')
const passphrase = 'correct horse battery staple'

describe('unlock.ts', { timeout: 120_000 }, ({ test, before, beforeEach, after }) => {
  const folder = folders({ before, after })
  let [dir, sshPort] = ['', 0]
  let host: Unlockable
  let sshd: Server | undefined
  const settings = () => ({
    SERVER_HOST: host.address,
    SERVER_SSH_PORT: String(sshPort),
    UNLOCK_PORT: String(host.port),
    UNLOCK_KNOWN_HOSTS: 'unlock_known_hosts',
    UNLOCK_SSH_KEY: 'alice',
    CUSTODIANS: 'alice.pub,bob.pub',
  })

  before(async () => {
    dir = folder()
    host = await unlockable(dir, passphrase)
    sshPort = await freePort()
  })
  beforeEach(async () => {
    await stopSshd()
    await host.off()
    host.mode('')
    await host.on()
  })
  after(async () => {
    await stopSshd()
    await host?.off()
  })

  async function startSshd(): Promise<void> {
    sshd = createServer((socket) =>
      socket.on('error', () => {}).end('SSH-2.0-OpenSSH_9.6p1 Ubuntu-3ubuntu13\r\n'),
    )
    await new Promise<void>((done) => sshd?.listen(sshPort, host.address, done))
  }
  /** Something that is up beside the disk's system: it says what sshd says, and shows the host key of `host`. */
  async function startOther(): Promise<object> {
    const prompt = await freePort()
    const key = readFileSync(host.knownHosts, 'utf8').split(' ').slice(1).join(' ')
    const lines = {
      prompt_keys: `[${host.address}]:${prompt} ${key}`,
      server_keys: `[${host.address}]:${sshPort} ${key}`,
      other_keys: `[${host.address}]:${sshPort} ${readFileSync(join(dir, 'bob.pub'), 'utf8')}`,
    }
    for (const [name, line] of Object.entries(lines)) writeFileSync(join(dir, name), line)
    sshd = createServer((socket) => {
      const behind = connect(host.port, host.address)
      for (const end of [socket, behind]) end.on('error', () => {})
      behind.once('data', (data) => {
        socket.write(
          data.toString('latin1').replace(/^SSH-2.0-dropbear\S*/, 'SSH-2.0-OpenSSH_9.6p1'),
          'latin1',
        )
        behind.pipe(socket)
      })
      socket.pipe(behind)
    })
    await new Promise<void>((done) => sshd?.listen(sshPort, host.address, done))
    return { UNLOCK_PORT: prompt, UNLOCK_KNOWN_HOSTS: 'prompt_keys' }
  }
  async function stopSshd(): Promise<void> {
    await new Promise((done) => (sshd ? sshd.close(done) : done(undefined)))
    sshd = undefined
  }

  async function unlock(args: string[], input: string, change: object = {}, path = '') {
    const env = Object.entries({ ...settings(), ...change }).map(([name, value]) => `${name}=${value}\n`)
    writeFileSync(join(dir, '.env'), env.join(''), { mode: 0o600 })
    const argv = ['--import', 'tsx', 'ops/unlock.ts', '--env', join(dir, '.env'), ...args]
    const child = spawn(process.execPath, argv, {
      cwd: root,
      env: {
        ...process.env,
        OPS_QUIET: '',
        NO_COLOR: '1',
        SSH_AUTH_SOCK: '',
        XDG_STATE_HOME: join(dir, 'state'),
        PATH: `${path}:${process.env.PATH}`,
      },
      stdio: 'pipe',
      timeout: 60_000,
    })
    const ran = { code: null as number | null, out: '', err: '' }
    child.stdout.on('data', (data) => (ran.out += data))
    child.stderr.on('data', (data) => (ran.err += data))
    child.stdin.on('error', () => {})
    child.stdin.end(input)
    const ended = new Promise<void>((done) =>
      child.once('close', (code) => {
        ran.code = code
        done()
      }),
    )
    // The host goes on once it is unlocked.
    while (!(await Promise.race([ended.then(() => true), sleep(100)])))
      if (host.opened() && !sshd) {
        await host.off()
        await startSshd()
      }
    assert.not(`${ran.out}${ran.err}`.includes(passphrase))
    return ran
  }

  test('unlocks, waits for sshd, and leaves the passphrase in no command line and no environment', async () => {
    const ran = await unlock([], `${passphrase}\n`)
    assert.is(ran.code, 0, ran.err)
    assert.match(ran.err, /✓ wait for the prompt of 127.*✓ unlock 127.*✓ wait for its own sshd/s)
    assert.match(
      ran.out,
      /^127\.0\.0\.1 is unlocked; its root was not looked at, for SERVER_KNOWN_HOSTS is not set\n$/,
    )
    assert.match(host.seen(), 'ops/unlock.ts')
    assert.not(host.seen().includes(passphrase), 'seen by other processes')
    assert.is(host.tries(), 1)
  })

  test('unlocks as the custodian that is named', async () => {
    const ran = await unlock(['--as', 'bob'], passphrase, { UNLOCK_SSH_KEY: 'stranger' })
    assert.is(ran.code, 0, ran.err)
    const nobody = await unlock(['--as', 'carol'], passphrase)
    assert.equal([nobody.code, nobody.err], [2, 'error: --as carol: CUSTODIANS has alice, bob\n'])
  })

  test('unlocks as one custodian when the key files of the others are not there', async () => {
    const ran = await unlock(['--as', 'alice'], passphrase, { CUSTODIANS: 'alice.pub,gone.pub' })
    assert.is(ran.code, 0, ran.err)
  })

  test('tells of a private key that is with its owner, before the prompt is asked', async () => {
    mkdirSync(join(dir, 'shared'))
    copyFileSync(join(dir, 'alice.pub'), join(dir, 'shared/alice.pub'))
    const ran = await unlock(['--as', 'alice'], passphrase, { CUSTODIANS: 'shared/alice.pub,bob.pub' })
    assert.equal([ran.code, host.tries()], [2, 0])
    assert.match(ran.err, /--as alice: the private key is not here, neither beside shared\/alice.pub nor/)
  })

  test('tells of a host that the pin does not know by this name: that is nobody in between', async () => {
    const ran = await unlock([], passphrase, { SERVER_HOST: 'localhost' })
    assert.equal([ran.code, host.tries()], [2, 0])
    assert.match(ran.err, /which has no key for localhost, port \d+\. SERVER_HOST and UNLOCK_PORT have to be/)
  })

  test('ends with 6 for a wrong passphrase, after one try', async () => {
    const ran = await unlock([], 'another long passphrase\n')
    assert.equal([ran.code, host.tries()], [6, 1], ran.err)
    assert.match(ran.err, 'the passphrase is wrong')
  })

  test('ends with 3 for a key that the prompt does not know', async () => {
    const ran = await unlock([], `${passphrase}\n`, { UNLOCK_SSH_KEY: 'stranger' })
    assert.equal([ran.code, host.tries()], [3, 0], ran.err)
  })

  test('ends with 5 when nobody answers, and asks for nothing', async () => {
    await host.off()
    const ran = await unlock(['--wait', '1'], '')
    assert.is(ran.code, 5, ran.err)
    assert.match(ran.err, /answers neither on port \d+ nor on port \d+/)
  })

  test('gives nothing to the host that is not one line', async () => {
    const more = await unlock([], `${passphrase}\nand more\n`)
    const none = await unlock([], '')
    const empty = await unlock([], '\n')
    assert.equal([more.code, none.code, empty.code, host.tries()], [2, 3, 2, 0])
  })

  test('tells of a passphrase that these scripts would not have made, and tries it', async () => {
    const ran = await unlock([], 'short\n')
    assert.is(ran.code, 6)
    assert.match(ran.err, /is shorter than 20 characters: no passphrase that these scripts made/)
  })

  test('has nothing to do for a host that is up with its own host key, whoever has a login there', async () => {
    const other = await startOther()
    writeFileSync(
      join(dir, 'ssh'),
      '#!/bin/sh\necho "root@host: Permission denied (publickey)." >&2; exit 255\n',
      {
        mode: 0o755,
      },
    )
    const ran = await unlock([], '', { ...other, SERVER_KNOWN_HOSTS: 'server_keys' }, dir)
    assert.equal(
      [ran.code, ran.out.split(',').slice(0, 2).join()],
      [0, '127.0.0.1 is up, there was nothing to unlock; its host key is the pinned one'],
      ran.err,
    )
  })

  test('a host that is up may be in the rescue system: with another host key it is refused, unknown it is 6', async () => {
    const other = await startOther()
    const rescue = await unlock([], '', { ...other, SERVER_KNOWN_HOSTS: 'other_keys' })
    assert.is(rescue.code, 3, rescue.err)
    assert.match(rescue.err, /is up, but does not have the key of SERVER_KNOWN_HOSTS: it is in the rescue/)
    const unset = await unlock([], '', other)
    const empty = await unlock([], '', { ...other, SERVER_KNOWN_HOSTS: 'prompt_keys' })
    assert.equal([unset.code, empty.code], [6, 6])
    assert.match(unset.err, /may be in the rescue system: SERVER_KNOWN_HOSTS is not set/)
    assert.match(empty.err, /may be in the rescue system: SERVER_KNOWN_HOSTS has no key for 127\.0\.0\.1/)
    const file = join(dir, 'state/everyskill/waiting-127.0.0.1.json')
    for (const [keys, where] of Object.entries({ other_keys: 'foreign', server_keys: 'up' })) {
      const look = await unlock(['--watch'], '', { ...other, SERVER_KNOWN_HOSTS: keys })
      assert.equal([look.code, JSON.parse(readFileSync(file, 'utf8')).where], [0, where], look.err)
    }
  })

  test('only prints with --dry-run', async () => {
    const ran = await unlock(['--dry-run'], '')
    assert.equal([ran.code, host.tries()], [0, 0])
    assert.match(ran.out, /^\[operator\] ssh -T .*root@127\.0\.0\.1 < the passphrase\n$/)
  })

  test('is refused on the server itself, and without the pinned key', async () => {
    assert.match((await unlock([], '', { SERVER_HOST: 'local' })).err, /cannot unlock itself/)
    assert.match((await unlock([], '', { UNLOCK_KNOWN_HOSTS: '' })).err, /UNLOCK_KNOWN_HOSTS is missing/)
  })

  test('--watch tells after ten minutes at the prompt', async () => {
    const first = await unlock(['--watch', '--quiet'], '')
    assert.equal([first.code, first.out, first.err], [0, '', ''])
    const file = join(dir, 'state/everyskill/waiting-127.0.0.1.json')
    const kept = JSON.parse(readFileSync(file, 'utf8'))
    assert.is(kept.where, 'waiting')
    writeFileSync(file, JSON.stringify({ ...kept, since: new Date(Date.now() - 11 * 60_000).toISOString() }))
    assert.match((await unlock(['--watch', '--quiet'], '')).out, /127\.0\.0\.1 waits at its unlock prompt/)
    assert.is((await unlock(['--watch', '--quiet'], '')).out, '')
    await host.off()
    await startSshd()
    assert.is((await unlock(['--watch', '--quiet'], '')).out, '127.0.0.1 is up again\n')
  })
})
