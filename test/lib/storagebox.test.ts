import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { boxHashes, boxShip, filesOf } from '../../ops/lib/box-files.ts'
import { Fail } from '../../ops/lib/fail.ts'
import type { Manifest } from '../../ops/lib/manifest.ts'
import { adminBox, boxFolder, boxList, boxRemove, serverBox } from '../../ops/lib/storagebox.ts'
import { wrongHashes } from '../../ops/lib/verifying.ts'
import { describe } from '../describe.ts'

const env = {
  STORAGEBOX_USER: 'u1-sub1',
  STORAGEBOX_HOST: 'box.example',
  STORAGEBOX_PORT: '23',
  STORAGEBOX_DIR: 'backups',
  STORAGEBOX_SSH_KEY: '/home/op/key',
  STORAGEBOX_KNOWN_HOSTS: '/home/op/known',
}
const box = serverBox(env)
const label = '20261122T205310Z'
const names = ['database.dump.gpg', 'manifest.json']
const ship = (there: boolean) => boxShip(box, '/d', label, names, there)

describe('the Storage Box', ({ test }) => {
  test('is reached from the server with the server files, over ssh on its port, with a pinned key', () => {
    const words = box.ssh.join(' ')
    assert.match(words, /^ssh -p 23 -i \/opt\/everyskill\/env\/backup\/storagebox_key /)
    assert.match(words, /StrictHostKeyChecking=yes .*UserKnownHostsFile="\/opt\/everyskill\/env\/backup\//)
    assert.not.match(words, /home\/op/)
  })

  test('gets scripts that parse, and rsync the ssh form of the port', () => {
    const scripts = [boxList(box, true), ship(false), ship(true)]
    for (const { text } of [...scripts, boxHashes(box, '/d', label, names), boxRemove(box, label)]) {
      const { status, stderr } = spawnSync('bash', ['-n', '-c', text], { encoding: 'utf8' })
      assert.is(status, 0, stderr)
    }
    assert.match(ship(false).text, /rsync .* -e 'ssh -p 23 /)
    assert.not.match(ship(false).text, /--port|--delete/)
  })

  test('gets a backup under a name that does not count, and only at last its own', () => {
    const { text } = ship(false)
    assert.match(text, new RegExp(`box mv 'backups/${label}\\.part' 'backups/${label}'$`))
    assert.not.match(ship(true).text, /rsync|box mv/)
    for (const name of names) assert.ok(text.includes(`'backups/${label}.part/${name}'`), name)
    assert.ok(ship(true).text.includes(`'backups/${label}/manifest.json'`))
  })

  test('keeps each kind of backup in a folder of its own', () => {
    assert.is(boxFolder(box, 'dumps').dir, 'backups/dumps')
    assert.match(boxList(boxFolder(box, 'files')).text, /box ls 'backups\/files' 2> \/dev\/null/)
    assert.is(box.dir, 'backups')
  })

  test('loses a backup by its name first', () => {
    assert.match(boxRemove(box, label).text, /box mv .*\.part'\nbox rm -r 'backups\/\w+\.part'$/)
  })

  test('is deleted on only by its main account', () => {
    const none = { ...env, STORAGEBOX_ADMIN_USER: undefined, STORAGEBOX_ADMIN_SSH_KEY: undefined }
    try {
      adminBox('.env', none, undefined)
      assert.unreachable()
    } catch (error) {
      assert.ok(error instanceof Fail)
      assert.is((error as Fail).exitCode, 2)
    }
    const dir = mkdtempSync(join(tmpdir(), 'box-'))
    const file = join(dir, '.env')
    const given = {
      ...env,
      STORAGEBOX_KNOWN_HOSTS: 'known',
      STORAGEBOX_ADMIN_USER: 'u1',
      STORAGEBOX_ADMIN_SSH_KEY: 'admin',
    }
    assert.throws(() => adminBox(file, given, '../..'), /--dir/)
    assert.throws(
      () => adminBox(file, given, undefined),
      /STORAGEBOX_ADMIN_SSH_KEY names .*admin, which does not/,
    )
    for (const name of ['known', 'admin']) writeFileSync(join(dir, name), '')
    const { account, dir: folder } = adminBox(file, given, 'sub/backups')
    assert.equal([account, folder], ['u1@box.example', 'sub/backups'])
    rmSync(dir, { recursive: true })
  })
})

describe('hashes of both copies', ({ test }) => {
  const [a, b] = ['a'.repeat(64), 'b'.repeat(64)]
  const files = { 'database.dump.gpg': { bytes: 1, sha256: a }, 'globals.sql.gpg': { bytes: 1, sha256: b } }
  const manifest = { shelf: 'dumps', files } as unknown as Manifest
  const side = (name: string, dump: string) => [
    `${name}\tdatabase.dump.gpg\t${dump}`,
    `${name}\tglobals.sql.gpg\t${b}`,
    `${name}\tmanifest.json\t${a}`,
  ]

  test('are asked for of every file, the manifest last', () => {
    assert.equal(filesOf(manifest), ['database.dump.gpg', 'globals.sql.gpg', 'manifest.json'])
  })

  test('are right when both are as the manifest says', () => {
    assert.equal(wrongHashes(manifest, [...side('server', a), ...side('box', a)].join('\n')), [])
  })

  test('name the side and the file that is not', () => {
    const found = [...side('server', a), ...side('box', b)].join('\n')
    assert.equal(wrongHashes(manifest, found), [`database.dump.gpg on the box: ${b}`])
    assert.is(wrongHashes(manifest, side('server', a).join('\n')).length, 3)
  })
})
