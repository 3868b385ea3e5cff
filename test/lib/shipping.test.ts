import * as assert from 'uvu/assert'
import { Fail } from '../../ops/lib/fail.ts'
import { shipRound } from '../../ops/lib/shipping.ts'
import { serverBox } from '../../ops/lib/storagebox.ts'
import { clean } from '../bash.ts'
import { describe } from '../describe.ts'
import { Captor, Listener } from '../hosts.ts'

const box = serverBox({
  STORAGEBOX_USER: 'u1-sub1',
  STORAGEBOX_HOST: 'box.example',
  STORAGEBOX_PORT: '23',
  STORAGEBOX_DIR: 'backups',
  STORAGEBOX_SSH_KEY: 'key',
  STORAGEBOX_KNOWN_HOSTS: 'known',
})
const round = async (host: Captor, whole = false) => {
  await shipRound(host, new Listener(), box, whole)
  return host.scripts[0] ?? ''
}

/** What a round does is in shipping.engine.test.ts. */
describe('the script of a round of shipping', ({ test }) => {
  test('is bash that ShellCheck has nothing to say about, whole or not', async () => {
    clean(await round(new Captor()), await round(new Captor(), true))
  })

  test('deletes nothing on the box', async () => {
    assert.not.match(await round(new Captor(), true), /box rm|box mv|--delete|--remove/)
  })

  test('sends the WAL, then the backups, then the catalogue that was put aside before both', async () => {
    const text = await round(new Captor())
    const steps = [
      'cp -p "$copy"',
      'wal "$mark"; fi',
      'slowly archive',
      'slowly --relative',
      '"${files[@]}"',
      "> '/var/backups/everyskill/shipping/last'",
    ]
    const places = steps.map((step) => text.indexOf(step))
    assert.ok(
      places.every((place) => place >= 0),
      places.join(),
    )
    assert.equal(
      places,
      [...places].sort((a, b) => a - b),
    )
  })

  test('tells by its code whether the box is away or another one', async () => {
    for (const [code, exitCode] of [
      [75, 5],
      [76, 3],
      [1, 1],
    ] as const) {
      const error = await round(new Captor(() => ({ code, stdout: '', stderr: 'why' }))).catch(
        (thrown) => thrown,
      )
      assert.ok(error instanceof Fail)
      assert.equal([error.exitCode, error.message], [exitCode, 'captor: why'])
    }
  })
})
