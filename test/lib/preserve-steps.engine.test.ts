/** Real e2fsprogs and cryptsetup on a plain file, which takes no device mapper; the cost is only for tests. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { attempt, codes } from '../../ops/lib/exclusive.ts'
import type { Fail } from '../../ops/lib/fail.ts'
import { readHeader } from '../../ops/lib/header.ts'
import type { KeptLayout } from '../../ops/lib/preserve-layout.ts'
import { beginScript, goOnScript, reserve, shrinkScript } from '../../ops/lib/preserve-steps.ts'
import { sh } from '../../ops/lib/sh.ts'
import { describe, rejects } from '../describe.ts'
import { folders } from '../folders.ts'
import { Elsewhere, Listener } from '../hosts.ts'

const mib = 1024 * 1024
const cost = { memory: 64, iterations: 4, parallel: 1 }
const passphrase = `a passphrase 'quoted' $HOME`
const canary = 'a text that stands on the plain disk'

describe('a system that is encrypted where it lies', { timeout: 120_000 }, ({ test, before, after }) => {
  const folder = folders({ before, after })
  const session = new Listener()

  /** A host with a file for a partition, with a file system in it that holds a text and some filling. */
  function machine(size: number, filling: number) {
    const dir = folder()
    const host = new Elsewhere(dir, session)
    // A plain file is no block device, so cryptsetup wants to be told that nobody uses it.
    const offline = `more=(); case " $* " in *" reencrypt "*) more=(--force-offline-reencrypt) ;; esac`
    const whole = () =>
      host.program('cryptsetup', `${offline}\nexec ${which('cryptsetup')} "$@" "\${more[@]}"`)
    /** From now on encrypting ends after so many seconds, by this signal. */
    const cutShort = (signal: string, seconds: number) =>
      host.program(
        'cryptsetup',
        `${offline}\ncut=(); [ "\${#more[@]}" = 0 ] || cut=(timeout -s ${signal} ${seconds})\nexec "\${cut[@]}" ${which('cryptsetup')} "$@" "\${more[@]}"`,
      )
    whole()
    host.program('blockdev', 'stat -c %s "$2"')
    host.program('mountpoint', 'exit 1')
    const content = join(dir, 'content')
    mkdirSync(content)
    writeFileSync(join(content, 'canary'), canary)
    writeFileSync(join(content, 'filling'), Buffer.alloc(filling, 'x'))
    const [luks, boot] = [join(dir, 'root.img'), join(dir, 'boot.img')]
    for (const [file, bytes, more] of [
      [luks, size, ['-d', content]],
      [boot, 8 * mib, ['-L', 'everyskill-boot']],
    ] as const) {
      writeFileSync(file, '')
      truncateSync(file, bytes)
      execFileSync('mkfs.ext4', ['-q', '-F', ...more, file])
    }
    const layout: KeptLayout = {
      ...{ disk: '', boot, luks, stage: 'plain', bootMiB: 0 },
      numbers: { boot: 2, luks: 1 },
    }
    const shrink = (room: number) =>
      attempt(host, session, shrinkScript(layout, sh`part=${luks}; room=${room}`))
    const begin = () => attempt(host, session, beginScript(layout, cost), { input: passphrase })
    const goOn = (input = passphrase) => attempt(host, session, goOnScript(luks), { input })
    return { host, luks, layout, shrink, begin, goOn, whole, cutShort }
  }
  const which = (name: string) => execFileSync('which', [name], { encoding: 'utf8' }).trim()
  const room = (size: number) => size / 1024 - reserve

  test('is not cut where its files need more than there will be', async () => {
    const { luks, shrink } = machine(100 * mib, 50 * mib)
    const was = readFileSync(luks)
    await rejects(() => shrink(40 * 1024), /need \d+ KiB, and 40960 are left/)
    await attempt(new Elsewhere(folder(), session), session, sh`e2fsck -fn ${luks} > /dev/null`)
    assert.is(readFileSync(luks).length, was.length)
  })

  test('is not begun on a file system that has not been made small', async () => {
    const { begin, luks } = machine(100 * mib, mib)
    await rejects(begin, /has \d+ KiB, and there is room for \d+: nothing was cut/)
    assert.ok(readFileSync(luks).includes(canary))
    assert.is(codes.unverified, 74)
  })

  test('is small enough, then encrypted in several goes, and nothing plain is left', async () => {
    const size = 160 * mib
    const { host, luks, shrink, begin, goOn, whole, cutShort } = machine(size, 20 * mib)
    await shrink(room(size))
    await shrink(room(size))
    // resize2fs cuts a plain file too; a partition would stay as it is.
    truncateSync(luks, size)
    await begin()
    assert.ok(readFileSync(luks).includes(canary), 'the beginning changes the header only')
    cutShort('TERM', 0.3)
    await goOn().catch(() => {})
    whole()
    await goOn()
    await goOn()
    assert.not.ok(readFileSync(luks).includes(canary))
    const header = await readHeader(host, luks)
    assert.equal([header.label, header.cipher, header.keyBits], ['everyskill', 'aes-xts-plain64', 512])
    assert.equal(
      header.slots.map(({ slot, memory }) => [slot, memory]),
      [[0, 64]],
    )
  })

  test('goes on where a kill within a write left it, which cryptsetup refuses by itself', async () => {
    const size = 160 * mib
    const { host, luks, shrink, begin, goOn, whole, cutShort } = machine(size, 20 * mib)
    await shrink(room(size))
    truncateSync(luks, size)
    await begin()
    const bare = sh`cryptsetup reencrypt --resume-only --batch-mode --key-file=- ${luks}`
    const resume = (input: string) =>
      attempt(host, session, bare, { input }).then(
        () => '',
        ({ message }: Error) => message,
      )
    let said = ''
    for (let time = 0.02; time < 0.3 && !/requires reencryption recovery/.test(said); time += 0.02) {
      cutShort('KILL', time)
      await goOn().catch(() => {})
      whole()
      said = await resume('another passphrase')
    }
    assert.match(said, /requires reencryption recovery/, 'no kill hit a write: this test has shown nothing')
    const refused = await rejects(() => goOn('another passphrase'), /passphrase does not open it/)
    assert.is((refused as Fail).outcome, 'refused')
    await goOn()
    assert.not.ok(readFileSync(luks).includes(canary))
    assert.match(await resume(passphrase), /reencryption not in progress/)
  })
})
