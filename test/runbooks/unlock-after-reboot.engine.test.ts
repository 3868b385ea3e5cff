/** The runbook of a custodian, pasted as it stands, against a Dropbear on loopback. The whole machine: runbooks.luks.test.ts. */
import { execFile, spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import * as assert from 'uvu/assert'
import { describe } from '../describe.ts'
import { folders } from '../folders.ts'
import { freePort, type Unlockable, unlockable } from '../prompt.ts'
import { type Played, play } from './play.ts'
import { byHandOf, readRunbook } from './runbook.ts'

const passphrase = '0123456789abcdef0123456789abcdef'

describe('unlock-after-reboot.md', { timeout: 120_000 }, ({ test, before, after }) => {
  const folder = folders({ before, after })
  let dir = ''
  let host: Unlockable
  let sshd: Server | undefined
  let [sshPort, ended] = [0, false]

  before(async () => {
    dir = folder()
    host = await unlockable(dir, passphrase)
    sshPort = await freePort()
    await host.on()
  })
  after(async () => {
    await new Promise((done) => (sshd ? sshd.close(done) : done(undefined)))
    await host.off()
  })

  /** The host goes on when it is unlocked, and reboots when the file `reboot` is there. */
  async function live(): Promise<void> {
    for (; !ended; await sleep(100)) {
      if (host.opened() && !sshd) {
        await host.off()
        sshd = createServer((socket) =>
          socket
            .on('error', () => {})
            .resume()
            .end('SSH-2.0-OpenSSH_9.6p1\r\n'),
        )
        await new Promise<void>((done) => sshd?.listen(sshPort, host.address, done))
      } else if (existsSync(join(dir, 'reboot'))) {
        await new Promise((done) => sshd?.close(done))
        sshd = undefined
        await host.on()
        rmSync(join(dir, 'reboot'))
      }
    }
  }

  test('by hand no shared connection and no other known_hosts file gets past the pinned key', () => {
    const [head] = readRunbook('runbooks/unlock-after-reboot.md').blocks
    const words = /^by_hand\(\) \{ (.*); \}$/m.exec(head?.code ?? '')?.[1]?.split(' ') ?? []
    for (const option of ['ControlPath=none', 'GlobalKnownHostsFile=/dev/null', 'StrictHostKeyChecking=yes'])
      assert.is(words[words.indexOf(option) - 1], '-o', option)
  })

  test('by hand at a terminal it asks again after a wrong passphrase', async () => {
    const line = byHandOf(readRunbook('runbooks/unlock-after-reboot.md'), host.keys.bob, host.knownHosts)
    const env = {
      ...process.env,
      SERVER_HOST: host.address,
      UNLOCK_PORT: String(host.port),
      SHELL: '/bin/bash',
    }
    const child = spawn('script', ['-qec', line, '/dev/null'], { stdio: 'pipe', timeout: 30_000, env })
    const typed = ['another one', passphrase]
    let text = ''
    child.stdout.on('data', (data) => {
      text += data
      if (/cryptroot: $/.test(text)) child.stdin.write(`${typed.shift()}\r`)
    })
    await new Promise((done) => child.once('close', done))
    assert.match(text, /cryptroot: .*cryptroot: .*set up successfully/s)
    assert.not.match(text, /another one|0123/)
    await host.off()
    await host.on()
  })

  test('unlocks with the script, and after another reboot by hand', async () => {
    const settings = {
      ...{ SERVER_HOST: host.address, SERVER_SSH_PORT: sshPort, UNLOCK_PORT: host.port },
      ...{ UNLOCK_KNOWN_HOSTS: host.knownHosts, UNLOCK_SSH_KEY: host.keys.alice },
    }
    const text = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`)
    writeFileSync(join(dir, '.env'), text.join(''), { mode: 0o600 })
    const runbook = readRunbook('runbooks/unlock-after-reboot.md')
    const ours = byHandOf(runbook, host.keys.bob, host.knownHosts)
    const reboot = `touch ${dir}/reboot; while [ -e ${dir}/reboot ]; do sleep 0.1; done`
    // What only a whole machine can say: its root and its network.
    const facts = join(dir, 'facts')
    const says = ['IP=dhcp', 'eth0 UP', '/dev/mapper/cryptroot', 'cryptroot crypt']
    writeFileSync(facts, `echo login >> ${dir}/logins\n${says.map((line) => `echo ${line}\n`).join('')}`)
    const path = process.env.PATH
    const node = `#!/bin/sh\ntouch ${dir}/node-ran\nexec ${process.execPath} "$@"\n`
    mkdirSync(join(dir, 'node'))
    writeFileSync(join(dir, 'node/node'), node, { mode: 0o755 })
    process.env.PATH = `${join(dir, 'node')}:${path}`
    const running = live()
    let played: Played[] = []
    try {
      const values = {
        ...{ ENV_FILE: join(dir, '.env'), SERVER_HOST: host.address },
        ...{ UNLOCK_PORT: String(host.port), SERVER_SSH_PORT: String(sshPort) },
        by_hand: `${reboot}; ${ours}`,
        on_server: `bash ${facts}`,
      }
      // The script looks at the root only where it has a login.
      const lastLine = /^… is unlocked, its root is the encrypted disk$/
      for (const block of runbook.blocks)
        block.expected = block.expected.map((one) =>
          lastLine.test(one) ? '… is unlocked; its root was not looked at, …' : one,
        )
      const watch = runbook.blocks.filter(({ code }) => code.includes('crontab'))
      assert.is(watch.length, 1)
      runbook.blocks.push(...watch)
      played = await play(runbook, values, 100, { 'ops/unlock.ts': `${passphrase}\n`, by_hand: passphrase })
    } finally {
      process.env.PATH = path
      ended = true
      await running
    }
    assert.is(host.tries(), 1, 'since the second reboot')
    const logins = readFileSync(join(dir, 'logins'), 'utf8')
    assert.is(logins, 'login\nlogin\n', 'to look at its network and its root: to unlock it takes none')
    // As cron runs it, which knows no node of the operator's, and after it was pasted twice.
    rmSync(join(dir, 'node-ran'))
    const [job = '', ...more] = played.at(-1)?.printed.match(/^\*\/5 .*$/gm) ?? []
    assert.equal(more, [])
    const cron = { HOME: dir, SHELL: '/bin/sh', PATH: '/usr/bin:/bin' }
    const command = job.replace(/^(\S+ ){5}/, '')
    assert.not.match(command, /%/, 'cron would end it there')
    const ran = await promisify(execFile)('/bin/sh', ['-c', command], { env: cron, cwd: dir })
    assert.equal([ran.stdout, ran.stderr], ['', ''])
    assert.ok(existsSync(join(dir, 'node-ran')))
    const kept = readFileSync(join(dir, `.local/state/everyskill/waiting-${host.address}.json`), 'utf8')
    assert.is(JSON.parse(kept).where, 'up')
  })
})
