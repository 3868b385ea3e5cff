/** The server is gone, and what it could delete is deleted. A server that is only gone: runbooks/server-lost.md, in runbooks.lab. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { describe } from '../describe.ts'
import { attempted } from '../lab/begin.ts'
import { open } from '../lab/browser.ts'
import { loud, quiet } from '../lab/cron.ts'
import { type Alone, aloneWith } from '../lab/custodian.ts'
import { boxBackups } from '../lab/deployed.ts'
import { until } from '../lab/shell.ts'
import { takeSnapshot } from '../lab/snapshots.ts'
import { sql } from '../lab/sql.ts'
import type { World } from '../lab/world.ts'
import { backedUp, bad, good, shipAll } from './backup-helpers.ts'

describe('a disaster', { timeout: 600_000 }, ({ test, before, after }) => {
  let world: World
  let scratch = ''
  let alone: Alone
  const site = () => open(world, world.domain, '/api/health')

  before(
    async () => {
      world = await backedUp()
      scratch = mkdtempSync(join(tmpdir(), 'disaster-test-'))
      alone = await aloneWith(world, 'custodian-b', scratch)
    },
    { timeout: 900_000 },
  )
  after(async () => {
    await sql(world, 'drop table if exists disaster_marker').catch(() => {})
    await alone.leave()
    rmSync(scratch, { recursive: true, force: true })
    await loud(world)
  })

  test('is none while the server has a database', async () => {
    assert.match((await bad(3, 'restore', '--disaster', '--unencrypted')).stderr, /has a database/)
  })

  test('in which everything on the box is deleted with what the server knows: a snapshot and one custodian alone bring it back', async () => {
    const { fingerprint256 } = (await site()).certificate
    await sql(world, 'create table disaster_marker (id int); insert into disaster_marker values (2)')
    await good(world, 'backup', 'files')
    await shipAll(world)
    const snapshot = await takeSnapshot()
    await deleteAll()
    assert.is(await world.storagebox.exec(`find ${boxBackups} 2> /dev/null || true`), '')
    await world.server.replace()

    const words = ['restore', '--disaster', '--snapshot', snapshot, '--confirm', snapshot] as const
    const refused = await bad(3, 'restore', '--disaster')
    assert.match(refused.stderr, /is not encrypted/)
    const { code, stderr } = await attempted(alone.env, [...words, '--unencrypted'])
    assert.is(code, 0, stderr)
    await quiet(world)
    assert.is(await sql(world, 'select id from disaster_marker'), '2')
    const page = await until('the site', 20, () => site().catch(() => undefined))
    assert.equal([page.status, page.certificate.fingerprint256], [200, fingerprint256])
  })

  /** As somebody would who took the server over: from it, with its key. Cron is aside, or it would fill the box again. */
  async function deleteAll(): Promise<void> {
    const keys = '/opt/everyskill/env/backup'
    const ssh = `ssh -p 23 -i ${keys}/storagebox_key -o UserKnownHostsFile=${keys}/storagebox_known_hosts -o BatchMode=yes u100001-sub1@${world.storagebox.address}`
    await world.server.exec(`${ssh} rm -r backups < /dev/null`)
  }
})
