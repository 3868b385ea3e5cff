/** The unlock prompt of a host, on loopback: a real Dropbear with the line that custodians get, and before it no disk. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { authorizedLine, custodianIn } from '../ops/lib/custodian.ts'
import { install, missing } from './harness/packages.ts'

/**
 * Says what Debian's cryptroot-unlock says (cryptsetup 2.6.1, debian/initramfs/cryptroot-unlock), for a disk that a file's
 * content opens. `mode` makes it answer otherwise.
 */
const cryptrootUnlock = (dir: string) => `#!/bin/bash
cd ${dir}
case $(cat mode) in
  early) echo "Try again later" >&2; exit 1 ;;
  unlocked) exit 0 ;;
esac
if [ -t 0 ]; then
  while [ ! -e opened ]; do
    read -rs -p "Please unlock disk cryptroot: "; echo
    printf %s "$REPLY" > given
    if cmp -s given passphrase; then touch opened; fi
  done
  echo "cryptsetup: cryptroot set up successfully" >&2; exit 0
fi
echo "Please unlock disk cryptroot"
cat > given
cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2> /dev/null | tr '\\0' '\\n' > seen
echo try >> tries
if ! cmp -s given passphrase; then echo "cryptsetup: cryptsetup failed, bad password or options?" >&2; exit 1; fi
touch opened
case $(cat mode) in
  gone)
    pid=$PPID
    [ "$(cat /proc/$pid/comm)" = dropbear ] || pid=$(sed -n 's/^PPid:[[:space:]]*//p' /proc/$pid/status)
    kill -9 "$pid"; exit 1 ;;
  slow) echo "Error: Timeout reached while waiting for PID 123." >&2; exit 1 ;;
esac
echo "cryptsetup: cryptroot set up successfully" >&2
`

export interface Unlockable {
  address: string
  port: number
  knownHosts: string
  /** Private keys: two custodians', and one that is nobody's. */
  keys: Record<'alice' | 'bob' | 'stranger', string>
  /** How it answers: early, unlocked, gone (the connection ends before the answer), slow; anything else: as it should. */
  mode(mode: string): void
  /** How often a passphrase was given. */
  tries(): number
  /** Whether the right one was. */
  opened(): boolean
  /** The command lines and environments of all processes while the last passphrase was on its way. */
  seen(): string
  /** The machine is switched off, or on again with its disk locked. */
  off(): Promise<void>
  on(): Promise<void>
}

/** A port that is free now. */
export function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const server = createServer().once('error', fail)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => done(typeof address === 'object' && address ? address.port : 0))
    })
  })
}

/** Makes a host that waits for a passphrase; it is off. Dropbear's user is this one, with a home of its own. */
export async function unlockable(dir: string, passphrase: string): Promise<Unlockable> {
  install(missing({ dropbear: 'dropbear-bin' }))
  const wrapper = spawnSync('sh', ['-c', 'ls /usr/lib/*/libnss_wrapper.so'])
  install(wrapper.status === 0 ? [] : ['libnss-wrapper'])
  const ssh = join(dir, 'home/.ssh')
  mkdirSync(ssh, { recursive: true, mode: 0o700 })
  const key = (name: string) => {
    const file = join(dir, name)
    if (!existsSync(file)) execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', file])
    return file
  }
  const keys = { alice: key('alice'), bob: key('bob'), stranger: key('stranger') }
  const program = join(dir, 'cryptroot-unlock')
  writeFileSync(program, cryptrootUnlock(dir), { mode: 0o755 })
  writeFileSync(join(dir, 'passphrase'), passphrase)
  writeFileSync(join(dir, 'mode'), '')
  const lines = ['alice', 'bob'].map((name) => authorizedLine(custodianIn(join(dir, '.env'), `${name}.pub`)))
  const ours = lines.map((line) => line.replace('/bin/cryptroot-unlock', program))
  writeFileSync(join(ssh, 'authorized_keys'), `${ours.join('\n')}\n`, { mode: 0o600 })
  const { uid, gid } = userInfo()
  writeFileSync(join(dir, 'passwd'), `root:x:${uid}:${gid}::${join(dir, 'home')}:/bin/sh\n`)
  writeFileSync(join(dir, 'group'), `root:x:${gid}:\n`)
  const hostKey = join(dir, 'host_key')
  const made = execFileSync('dropbearkey', ['-t', 'ed25519', '-f', hostKey], {
    encoding: 'utf8',
    stdio: 'pipe',
  })
  const [address, port, knownHosts] = ['127.0.0.1', await freePort(), join(dir, 'unlock_known_hosts')]
  const publicKey = /^ssh-ed25519 \S+/m.exec(made)?.[0]
  writeFileSync(knownHosts, `[${address}]:${port} ${publicKey}\n`)

  let dropbear: ChildProcess | undefined
  const wrapped = {
    LD_PRELOAD: 'libnss_wrapper.so',
    NSS_WRAPPER_PASSWD: `${dir}/passwd`,
    NSS_WRAPPER_GROUP: `${dir}/group`,
  }
  const off = async () => {
    const child = dropbear
    dropbear = undefined
    if (!child || child.exitCode !== null) return
    const gone = new Promise((done) => child.once('close', done))
    child.kill('SIGKILL')
    await gone
  }
  const on = async () => {
    execFileSync('rm', ['-f', ...['opened', 'tries', 'given'].map((name) => join(dir, name))])
    const at = ['-r', hostKey, '-p', `${address}:${port}`, '-P', join(dir, 'pid')]
    dropbear = spawn('dropbear', ['-F', '-E', '-s', '-j', '-k', '-I', '180', ...at], {
      env: { ...process.env, ...wrapped },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    await new Promise((done) => dropbear?.stderr?.once('data', done))
    dropbear.stderr?.resume()
  }
  return {
    ...{ address, port, knownHosts, keys, on, off },
    mode: (mode) => writeFileSync(join(dir, 'mode'), mode),
    tries: () =>
      existsSync(join(dir, 'tries')) ? readFileSync(join(dir, 'tries'), 'utf8').split('\n').length - 1 : 0,
    seen: () => readFileSync(join(dir, 'seen'), 'utf8'),
    opened: () => existsSync(join(dir, 'opened')),
  }
}
