import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { diskFacts } from '../../ops/lib/disk-use.ts'
import { clean } from '../bash.ts'
import { describe } from '../describe.ts'
import { Captor, Elsewhere, Listener } from '../hosts.ts'

const gb = 1024 ** 3
const mb = 1024 ** 2

describe('the disk under the backups', ({ test, before, after }) => {
  let dir = ''
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'disk-'))
  })
  after(() => rmSync(dir, { recursive: true, force: true }))

  test('is measured by bash that ShellCheck has nothing to say about', async () => {
    const host = new Captor(() => '100 50\n7\n5\n3\n')
    assert.equal(await diskFacts(host), { free: 50, used: 12, repository: 7, daily: 3, reserve: 10 })
    clean(...host.scripts)
  })

  test('tells the repository, everything, and what a day adds; nothing where there is nothing yet', async () => {
    const host = new Elsewhere(dir, new Listener())
    host.program('df', `printf '1B-blocks Avail\\n${100 * gb} ${40 * gb}\\n'`)
    const none = await diskFacts(host)
    assert.equal([none.free, none.reserve, none.daily], [40 * gb, 5 * gb, 0])
    const file = (path: string, bytes: number) => {
      mkdirSync(join(host.at('/var/backups/everyskill'), path), { recursive: true })
      writeFileSync(join(host.at('/var/backups/everyskill'), path, 'file'), Buffer.alloc(bytes))
    }
    file('repository', 4 * mb)
    file('dumps/20261121T000000Z', 2 * mb)
    file('dumps/20261122T000000Z', mb)
    file('files/20261122T000000Z', mb)
    const { used, repository, daily } = await diskFacts(host)
    // Folders take some blocks themselves.
    const about = (bytes: number) => Math.round(bytes / mb)
    assert.equal([about(repository), about(used), about(daily)], [4, 8, 2])
  })
})
