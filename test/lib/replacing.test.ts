import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { Fail } from '../../ops/lib/fail.ts'
import { putBack } from '../../ops/lib/replacing.ts'
import { describe } from '../describe.ts'
import { folders } from '../folders.ts'
import { Elsewhere, Listener } from '../hosts.ts'

const [kept, undone] = ['before-20261122T120000Z', 'undone-20261123T120000Z']

describe('a kept cluster that is put back', ({ test, before, after, beforeEach }) => {
  let host: Elsewhere
  let data = ''
  const folder = folders({ before, after })
  beforeEach(() => {
    host = new Elsewhere(folder(), new Listener())
    data = join(host.dir, 'data')
    host.program('sleep', 'exit 0')
    cluster('pgdata', 'live')
    cluster(kept, 'kept')
  })

  const cluster = (name: string, content: string) => {
    mkdirSync(join(data, name), { recursive: true })
    for (const file of ['PG_VERSION', 'who']) writeFileSync(join(data, name, file), content)
  }
  const live = () => readFileSync(join(data, 'pgdata/who'), 'utf8')
  /** Docker, where the database comes up or not, and the app answers or not. */
  const docker = ({ recovers = true, answers = true }) =>
    host.program(
      'docker',
      `down() { ${!recovers} && [ "$(cat ${data}/pgdata/who)" = kept ]; }
case "$*" in
  "volume inspect"*) echo ${data} ;;
  "ps "*) echo the-id ;;
  "inspect "*) if down; then echo "false 9"; else echo "true 0"; fi ;;
  *is_in_recovery*) if ! down; then echo f; fi ;;
  *"exec the-id node"*) ${answers} ;;
esac`,
    )

  test('is live then, and what was live is kept', async () => {
    docker({})
    await putBack(host, new Listener(), kept, undone)
    assert.equal(
      [live(), existsSync(join(data, undone)), existsSync(join(data, kept))],
      ['kept', true, false],
    )
  })

  for (const [what, state] of [
    ['does not come up', { recovers: false }],
    ['leaves the app without an answer', { answers: false }],
  ] as const)
    test(`goes back to its place when it ${what}`, async () => {
      docker(state)
      const error = await putBack(host, new Listener(), kept, undone).catch((thrown: unknown) => thrown)
      assert.ok(error instanceof Fail && error.exitCode === 6, String(error))
      assert.not.match(error.message, /could not be undone/)
      assert.equal(
        [live(), existsSync(join(data, undone)), existsSync(join(data, kept))],
        ['live', false, true],
      )
    })
})
