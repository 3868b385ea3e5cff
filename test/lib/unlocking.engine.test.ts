/** Against a real Dropbear, with the very line of authorized_keys that custodians get. */
import { spawn, spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import type { Fail } from '../../ops/lib/fail.ts'
import { promptIsPinned } from '../../ops/lib/prompt-pin.ts'
import { atPrompt, promptAt, unlock, waitForSshd } from '../../ops/lib/unlocking.ts'
import { banner, started } from '../../ops/lib/waiting-host.ts'
import { describe, rejects } from '../describe.ts'
import { folders } from '../folders.ts'
import { Listener } from '../hosts.ts'
import { freePort, type Unlockable, unlockable } from '../prompt.ts'

const passphrase = `correct horse 'battery' $staple \\n`

describe('unlocking a host', { timeout: 120_000 }, ({ test, before, beforeEach, after }) => {
  const folder = folders({ before, after })
  const session = new Listener()
  let host: Unlockable
  before(async () => {
    host = await unlockable(folder(), passphrase)
  })
  beforeEach(async () => {
    await host.off()
    host.mode('')
    await host.on()
  })
  after(() => host?.off())

  const prompt = (who: keyof Unlockable['keys'] = 'alice', knownHosts = host.knownHosts) =>
    promptAt(host.address, host.port, knownHosts, host.keys[who])
  const failure = async (work: Promise<unknown>, says: RegExp) =>
    ((await rejects(() => work, says)) as Fail).exitCode

  test('takes the passphrase as it is, once, from either custodian', async () => {
    for (const who of ['alice', 'bob'] as const) {
      assert.is(await unlock(session, prompt(who), passphrase), true, 'it said so')
      assert.equal([host.opened(), host.tries()], [true, 1])
      await host.off()
      await host.on()
    }
  })

  test('a newline would be part of it', async () => {
    assert.is(await failure(unlock(session, prompt(), `${passphrase}\n`), /passphrase is wrong/), 6)
  })

  test('a wrong passphrase ends with 6, after one try', async () => {
    assert.is(
      await failure(unlock(session, prompt(), 'another'), /passphrase is wrong. It was tried once/),
      6,
    )
    assert.equal([host.opened(), host.tries()], [false, 1])
  })

  test("a stranger's key ends with 3, and no passphrase was given", async () => {
    assert.is(await failure(unlock(session, prompt('stranger'), passphrase), /does not know this key/), 3)
    assert.is(host.tries(), 0)
  })

  test('a prompt whose host key is pinned is told from one that no call has verified', async () => {
    const pinned = (file: string) =>
      promptIsPinned(session, '.env', {
        ...{ SERVER_HOST: host.address, UNLOCK_PORT: String(host.port), UNLOCK_KNOWN_HOSTS: file },
      })
    assert.is(await pinned(host.knownHosts), true)
    assert.is(await pinned(join(folder(), 'nothing')), false)
    const other = join(folder(), 'other')
    const key = spawnSync('ssh-keygen', ['-y', '-f', host.keys.bob], { encoding: 'utf8' }).stdout
    writeFileSync(other, `[${host.address}]:${host.port} ${key}`)
    assert.is(await pinned(other), false)
  })

  test('a host with another key ends with 3, and no passphrase was given', async () => {
    const other = join(folder(), 'known_hosts')
    const key = spawnSync('ssh-keygen', ['-y', '-f', host.keys.bob], { encoding: 'utf8' }).stdout
    writeFileSync(other, `[${host.address}]:${host.port} ${key}`)
    const work = unlock(session, prompt('alice', other), passphrase)
    assert.is(await failure(work, /does not have the key of UNLOCK_KNOWN_HOSTS/), 3)
    assert.is(host.tries(), 0)
  })

  test('a connection that is open already carries no passphrase past the pinned key', async () => {
    const dir = folder()
    const config = join(dir, 'config')
    writeFileSync(
      config,
      `Host *\nControlMaster auto\nControlPath ${dir}/%C\nControlPersist 60\nUserKnownHostsFile ${host.knownHosts}\n`,
    )
    const target = ['-p', String(host.port), `root@${host.address}`]
    const open = ['-F', config, '-i', host.keys.alice, '-o', 'IdentitiesOnly=yes', '-fN', ...target]
    assert.is(spawnSync('ssh', open, { stdio: 'ignore' }).status, 0)
    try {
      assert.is(spawnSync('ssh', ['-F', config, '-O', 'check', ...target]).status, 0)
      writeFileSync(join(dir, 'nothing'), '')
      const pinned = prompt('stranger', join(dir, 'nothing'))
      const [program = '', ...argv] = pinned.ssh
      const work = unlock(session, { ...pinned, ssh: [program, '-F', config, ...argv] }, passphrase)
      await rejects(() => work, /was given no passphrase/)
      assert.is(host.tries(), 0)
    } finally {
      spawnSync('ssh', ['-F', config, '-O', 'exit', ...target])
    }
  })

  test('a host that is off ends with 5', async () => {
    await host.off()
    assert.is(await failure(unlock(session, prompt(), passphrase), /no connection to the prompt/), 5)
  })

  test('a host that is not ready yet read nothing, and that is not a wrong passphrase', async () => {
    host.mode('early')
    assert.is(await failure(unlock(session, prompt(), passphrase), /does not ask for a passphrase yet/), 1)
  })

  test('a connection that ends before the answer, or an answer that is late, is good when the prompt goes away', async () => {
    for (const mode of ['gone', 'slow']) {
      host.mode(mode)
      const going = (async () => {
        while (!host.opened()) await sleep(100)
        await host.off()
      })()
      assert.is(await unlock(session, prompt(), passphrase, 20), false, 'it did not say so')
      await going
      await host.on()
    }
  })

  test('and ends with 6 when the prompt stays', async () => {
    host.mode('slow')
    const work = unlock(session, prompt(), passphrase, 1)
    assert.is(
      await failure(work, /still waits at its prompt after 1 s: the passphrase is wrong, or did not/),
      6,
    )
    assert.is(host.tries(), 1)
  })

  test('a prompt that was out of reach for a moment still waits: that is not an unlocked host', async () => {
    const sshd = await freePort()
    await host.off()
    const away = await waitForSshd(prompt(), sshd, 0, false).catch((error: Fail) => error)
    assert.match(String(away), /did not say whether it took the passphrase, and its sshd does not answer/)
    const dead = waitForSshd(prompt(), sshd, 0, true)
    assert.is(await failure(dead, /took the passphrase, but its sshd does not answer/), 5)
    await host.on()
    const work = waitForSshd(prompt(), sshd, 0, false)
    assert.is(await failure(work, /still waits at its prompt after 0 s: the passphrase is wrong/), 6)
    const again = waitForSshd(prompt(), sshd, 0, true)
    assert.is(await failure(again, /took the passphrase, but stands at its prompt again/), 6)
  })

  test('nothing but cryptroot-unlock runs there, and no port is forwarded', async () => {
    const [program = '', ...argv] = prompt().ssh
    const other = spawnSync(program, [...argv, 'id; uname'], { input: 'wrong', encoding: 'utf8' })
    assert.equal([other.status, other.stdout], [1, 'Please unlock disk cryptroot\n'])
    const target = argv.pop() ?? ''
    const way = ['-W', `127.0.0.1:${host.port}`]
    const through = spawnSync(program, [...argv, ...way, target], {
      input: '',
      encoding: 'utf8',
      timeout: 20_000,
    })
    assert.is.not(through.status, 0)
    assert.not.match(through.stdout, 'SSH-')
    const back = ['-o', 'ExitOnForwardFailure=yes', '-R', `${await freePort()}:127.0.0.1:22`]
    const behind = spawnSync(program, [...argv, ...back, target], {
      input: 'x',
      encoding: 'utf8',
      timeout: 20_000,
    })
    assert.is(behind.status, 255, behind.stdout + behind.stderr)
  })

  test('by hand at a terminal: what is typed is not shown', async () => {
    const [program = '', ...argv] = prompt().ssh
    const line = [program, '-t', ...argv.filter((word) => word !== '-T')].map((word) => `'${word}'`).join(' ')
    const child = spawn('script', ['-qec', line, '/dev/null'], { stdio: 'pipe', timeout: 30_000 })
    let text = ''
    child.stdout.on('data', (data) => {
      text += data
      if (/cryptroot: $/.test(text)) child.stdin.write(`${passphrase}\r`)
    })
    await new Promise((done) => child.once('close', done))
    assert.match(text, 'set up successfully')
    assert.not.match(text, 'horse')
    assert.ok(host.opened())
  })

  test('begins when its banner is there, and not when only the port is open', async () => {
    assert.ok(await atPrompt(session, prompt(), 1))
    await host.off()
    assert.not(await atPrompt(session, prompt(), 0))
    const mute = createServer().listen(host.port, host.address)
    try {
      assert.is(await banner(host.address, host.port, 0.3), undefined)
    } finally {
      await new Promise((done) => mute.close(done))
    }
    setTimeout(() => host.on(), 1500)
    assert.ok(await atPrompt(session, prompt(), 10))
  })

  test("ends when the host's own sshd answers, which Dropbear is not", async () => {
    assert.not(await started(host.address, host.port, 0))
    const sshd = createServer((socket) => socket.end('SSH-2.0-OpenSSH_9.6p1\r\n'))
    await host.off()
    await new Promise<void>((done) => sshd.listen(host.port, host.address, done))
    try {
      assert.ok(await started(host.address, host.port, 5))
      assert.not(await atPrompt(session, prompt(), 0))
    } finally {
      await new Promise((done) => sshd.close(done))
    }
  })
})
