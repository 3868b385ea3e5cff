/** The custodians' verbs with real cryptsetup and gpg; the host's folders, its initramfs and the Storage Box are folders here. */
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { entriesOf } from '../../ops/lib/custodian-list.ts'
import { type Header, readHeader } from '../../ops/lib/header.ts'
import { Host } from '../../ops/lib/host.ts'
import { slotOpenedBy } from '../../ops/lib/slots.ts'
import { describe } from '../describe.ts'
import { custodiansScript, encryptedHost, updateInitramfs } from '../encrypted.ts'
import { folders } from '../folders.ts'
import { headerBoxIn } from '../header-box.ts'
import { Listener } from '../hosts.ts'

const root = join(import.meta.dirname, '../..')
const passphraseOf = (name: string) => `the long passphrase of ${name}`

describe('the verbs of the custodians', { timeout: 240_000 }, ({ test, before, after }) => {
  const folder = folders({ before, after })
  const session = new Listener()
  const local = new Host('local', [], session)
  let dir = ''
  let path = ''

  before(() => {
    dir = folder()
    path = headerBoxIn(dir).path
    for (const name of ['alice', 'bob', 'carol'])
      execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', join(dir, name)])
  })

  interface Ran {
    code: number | null
    out: string
    err: string
  }
  /** Runs a verb on a disk; what it asks for is answered line by line. */
  function run(disk: string, words: string[], ...answers: string[]): Promise<Ran> {
    const at = [join(disk, '..'), disk, ...words, '--env', join(dir, '.env')]
    const child = spawn(process.execPath, ['--import', 'tsx', custodiansScript, ...at], {
      cwd: root,
      env: { ...process.env, PATH: path, OPS_QUIET: '', NO_COLOR: '1' },
      stdio: 'pipe',
      timeout: 60_000,
    })
    const ran: Ran = { code: null, out: '', err: '' }
    child.stdout.on('data', (data) => (ran.out += data))
    child.stderr.on('data', (data) => (ran.err += data))
    child.stdin.on('error', () => {})
    child.stdin.end(answers.map((one) => `${one}\n`).join(''))
    return new Promise((done) =>
      child.once('close', (code) => {
        for (const one of answers) assert.not(`${ran.out}${ran.err}`.includes(one), `shows ${one}`)
        done({ ...ran, code })
      }),
    )
  }

  /** A host with two custodians: alice in slot 0, bob in slot 1. */
  async function provisioned(): Promise<string> {
    const disk = await encryptedHost(folder(), join(dir, 'alice.pub'), passphraseOf('alice'))
    for (const ran of [await run(disk, ['add', 'alice', 'alice.pub']), await add(disk, 'bob')])
      assert.is(ran.code, 0, ran.err)
    return disk
  }
  const add = (disk: string, name: string, opener = passphraseOf('alice')) =>
    run(disk, ['add', name, `${name}.pub`], opener, passphraseOf(name))
  const opens = async (disk: string, name: string) => {
    const slots = (await readHeader(local, disk)).slots.map((one) => one.slot)
    return (await slotOpenedBy(local, session, disk, slots, passphraseOf(name))) !== undefined
  }
  const letIn = (disk: string, file = 'authorized_keys') =>
    [...readFileSync(join(disk, '../host/dropbear', file), 'utf8').matchAll(/ (\w+)$/gm)].map(
      ([, name]) => name,
    )
  const backups = () => readdirSync(join(dir, 'box/backups/luks-headers')).sort()

  test('add, list, verify and revoke', async () => {
    const disk = await provisioned()
    assert.equal(letIn(disk), ['alice', 'bob'])
    assert.equal([await opens(disk, 'alice'), await opens(disk, 'bob')], [true, true])

    const added = await add(disk, 'carol', passphraseOf('bob'))
    assert.is(added.code, 0, added.err)
    assert.match(
      added.err,
      /✓ add key slot 2, prove that it opens.*✓ let the key of carol in.*✓ back up the header/s,
    )
    const newest = backups().at(-1) as string
    assert.match(added.out, `header backup ${newest}`)
    assert.match(added.out, /Older header backups open this disk.*also with a revoked one. Destroy them/)
    assert.match(added.out, new RegExp(` rm -r .*backups/luks-headers/${backups().at(-2)}$`, 'm'))

    const list = await run(disk, ['list'])
    const rows = list.out
      .trim()
      .split('\n')
      .map((line) =>
        line
          .split(/\s{2,}/)
          .slice(0, 3)
          .join(' '),
      )
    assert.equal(rows, ['NAME SLOT PROMPT', 'alice 0 yes', 'bob 1 yes', 'carol 2 yes'])
    assert.match(list.out, 'argon2id 10000 KiB, 4 times, 1 threads')

    assert.match(
      (await run(disk, ['verify', 'carol'], passphraseOf('carol'))).out,
      /carol opens slot 2, and the prompt/,
    )
    const wrong = await run(disk, ['verify', 'carol'], passphraseOf('bob'))
    assert.equal(
      [wrong.code, wrong.err.split('\n').at(-2)],
      [6, 'error: this passphrase does not open the key slot of carol'],
    )

    // What a call leaves that is cut short before the last rename.
    mkdirSync(join(dir, 'box/backups/luks-headers/20200101T000000Z.part'))
    const revoked = await run(disk, ['revoke', 'bob'], passphraseOf('carol'))
    assert.is(revoked.code, 0, revoked.err)
    assert.match(
      revoked.err,
      /✓ remove key slot 1; slot 2 opens.*✓ shut the key of bob out.*✓ back up the header/s,
    )
    assert.match(revoked.out, 'also with a revoked one')
    const pasted = revoked.out.split('\n').filter((line) => line.startsWith('  '))
    const last = backups().at(-1)
    assert.ok(backups().length > 3 && pasted.length === 2, revoked.out)
    // As a person does: all at once, in a folder of their own.
    const shell = { cwd: folder(), env: { ...process.env, PATH: path }, input: `${pasted.join('\n')}\n` }
    assert.is(execFileSync('bash', shell).toString(), `${last}\n`)
    assert.equal(backups(), [last])
    assert.equal([await opens(disk, 'bob'), await opens(disk, 'alice')], [false, true])
    assert.equal(letIn(disk), ['alice', 'carol'])
    const manifest = JSON.parse(
      readFileSync(join(dir, 'box/backups/luks-headers', backups().at(-1) as string, 'header.json'), 'utf8'),
    )
    assert.equal(
      manifest.slots.map((one: { custodian: string }) => one.custodian),
      ['alice', 'carol'],
    )
    const audit = readFileSync(join(disk, '../host/opt/audit.log'), 'utf8')
    assert.match(audit, /"action":"custodians revoke bob","outcome":"done"/)
    for (const name of ['alice', 'bob', 'carol']) assert.not(audit.includes(passphraseOf(name)))
  })

  test('two custodians stay, and only somebody who stays lets another one go', async () => {
    const disk = await provisioned()
    const before = readFileSync(disk)
    const two = await run(disk, ['revoke', 'bob'], passphraseOf('alice'))
    assert.equal(
      [two.code, two.err.split('\n').at(-2)],
      [
        3,
        'error: without bob only alice could unlock the disk at the prompt, and it takes two custodians: add another one first',
      ],
    )
    assert.ok(before.equals(readFileSync(disk)))
    assert.is((await add(disk, 'carol')).code, 0)
    const self = await run(disk, ['revoke', 'bob'], passphraseOf('bob'))
    assert.is(self.code, 3)
    assert.match(self.err, 'this is the passphrase of nobody who stays. Nothing was changed')
    const nobody = await run(disk, ['revoke', 'dave'], passphraseOf('alice'))
    assert.is(nobody.code, 2)
    assert.match(nobody.err, 'there is no custodian dave: alice, bob, carol')
    assert.equal(letIn(disk), ['alice', 'bob', 'carol'])
  })

  test('a key, a name or a passphrase that is taken is refused before anything changes', async () => {
    const disk = await provisioned()
    const before = [readFileSync(disk), letIn(disk), backups()]
    const key = await run(disk, ['add', 'carol', 'bob.pub'], passphraseOf('alice'), passphraseOf('carol'))
    assert.match(key.err, /bob is a custodian with this key/)
    const name = await run(disk, ['add', 'bob', 'carol.pub'], passphraseOf('alice'), passphraseOf('carol'))
    assert.match(name.err, /bob is a custodian with another key/)
    const same = await run(disk, ['add', 'carol', 'carol.pub'], passphraseOf('alice'), passphraseOf('bob'))
    assert.match(same.err, /the passphrase of carol opens this disk already/)
    const short = await run(disk, ['add', 'carol', 'carol.pub'], passphraseOf('alice'), 'too short for it')
    assert.match(short.err, /the passphrase of carol is shorter than 20 characters/)
    const stranger = await add(disk, 'carol', 'a passphrase that opens nothing')
    assert.match(stranger.err, /opens no key slot. Nothing was changed/)
    assert.equal(
      [key, name, same, short, stranger].map((one) => one.code),
      [3, 3, 3, 2, 3],
    )
    assert.equal([readFileSync(disk), letIn(disk), backups()], before)
  })

  test('cut short, add goes on where it stopped', async () => {
    const disk = await provisioned()
    writeFileSync(join(disk, '../host/full'), '')
    const failed = await add(disk, 'carol')
    assert.is(failed.code, 1)
    assert.match(failed.err, 'No space left on device')
    rmSync(join(disk, '../host/full'))
    const again = await run(disk, ['add', 'carol', 'carol.pub'])
    assert.is(again.code, 0, again.err)
    assert.match(again.err, 'carol has a key slot already')
    assert.equal(
      (await readHeader(local, disk)).slots.map((one) => one.custodian),
      ['alice', 'bob', 'carol'],
    )
  })

  test('a change that could not be backed up is not begun, and one that was not is backed up later', async () => {
    const disk = await provisioned()
    assert.is((await add(disk, 'carol')).code, 0)
    const before = readFileSync(disk)
    renameSync(join(dir, 'box'), join(dir, 'away'))
    const away = await run(disk, ['revoke', 'bob'], passphraseOf('alice'))
    renameSync(join(dir, 'away'), join(dir, 'box'))
    assert.is(away.code, 5, away.err)
    assert.ok(before.equals(readFileSync(disk)))
    const had = backups().at(-1) as string
    assert.is((await run(disk, ['revoke', 'bob'], passphraseOf('alice'))).code, 0)
    rmSync(join(dir, 'box/backups/luks-headers', backups().at(-1) as string), { recursive: true })
    assert.is(backups().at(-1), had)
    const again = await run(disk, ['revoke', 'bob'])
    assert.is(again.code, 0, again.err)
    assert.match(again.err, 'bob is gone already, but not from the newest header backup')
    assert.is((await run(disk, ['revoke', 'bob'])).code, 2)
  })

  test('a slot that was made and not named becomes its own, or is revoked by its number', async () => {
    const disk = await provisioned()
    const nameless = async () => {
      const [opener, fresh] = ['alice', 'carol'].map((name) => join(dir, `${name}.pass`)) as [string, string]
      writeFileSync(opener, passphraseOf('alice'))
      writeFileSync(fresh, passphraseOf('carol'))
      const cheap = ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000']
      execFileSync('cryptsetup', [
        'luksAddKey',
        '--batch-mode',
        ...cheap,
        '--key-slot',
        '5',
        '--key-file',
        opener,
        disk,
        fresh,
      ])
    }
    await nameless()
    assert.match((await run(disk, ['list'])).out, /slot:5 +5 +NO +pbkdf2 /)
    const revoked = await run(disk, ['revoke', 'slot:5'], passphraseOf('alice'))
    assert.is(revoked.code, 0, revoked.err)
    assert.not(await opens(disk, 'carol'))
    await nameless()
    assert.is((await add(disk, 'carol')).code, 0)
    assert.equal(
      (await readHeader(local, disk)).slots.map((one) => [one.slot, one.custodian]),
      [
        [0, 'alice'],
        [1, 'bob'],
        [5, 'carol'],
      ],
    )
  })

  test('an initramfs that still lets somebody else in ends with 6', async () => {
    const disk = await provisioned()
    const host = join(disk, '../host')
    mkdirSync(join(host, 'old'))
    writeFileSync(
      join(host, 'old/authorized_keys'),
      'command="/bin/cryptroot-unlock" ssh-ed25519 AAAA mallory\n',
    )
    const program = updateInitramfs(host)
    writeFileSync(join(host, 'bin/update-initramfs'), `#!/bin/bash\nstale=old\n${program}\n`)
    const ran = await add(disk, 'carol')
    assert.is(ran.code, 6, ran.err)
    assert.match(ran.err, /initrd.img-6.1 does not let in exactly the custodians/)
  })
})

describe('the list of custodians', ({ test }) => {
  test("has everybody who has a slot, a token or a key, and every slot that is nobody's", () => {
    const slot = (n: number, custodian?: string) => ({
      slot: n,
      kdf: 'argon2id',
      memory: 1,
      iterations: 4,
      parallel: 1,
      custodian,
    })
    const header = {
      slots: [slot(0, 'alice'), slot(3)],
      tokens: [
        { token: 0, custodian: 'alice', fingerprint: 'SHA256:a', slots: [0] },
        { token: 1, custodian: 'bob', fingerprint: 'SHA256:b', slots: [] },
      ],
    } as unknown as Header
    const entries = entriesOf(header, [
      { name: 'alice', key: '' },
      { name: 'dave', key: '' },
    ])
    assert.equal(
      entries.map(({ name, slots, prompt }) => [name, slots, prompt]),
      [
        ['alice', [0], true],
        ['slot:3', [3], false],
        ['bob', [], false],
        ['dave', [], true],
      ],
    )
  })
})
