import * as assert from 'uvu/assert'
import { fetched } from '../../ops/lib/copies.ts'
import { Fail } from '../../ops/lib/fail.ts'
import { pageChecksums, recovered, startRecovery } from '../../ops/lib/recovery.ts'
import { sh } from '../../ops/lib/sh.ts'
import { clean } from '../bash.ts'
import { describe } from '../describe.ts'
import { Captor, Listener } from '../hosts.ts'
import { physical, recorded } from '../physical.ts'

const failure = async (work: Promise<unknown>) => {
  const error = await work.catch((thrown: unknown) => thrown)
  assert.ok(error instanceof Fail, String(error))
  return error as Fail
}

describe('a recovery in a scratch container', ({ test }) => {
  const set = physical('2026-11-22T10:17:00Z')
  const at = new Date('2026-11-22T12:00:00Z')
  const target = { set, at, latest: false, record: undefined, timeline: undefined, until: undefined }
  const start = (host: Captor) => startRecovery(host, new Listener(), fetched, target)

  test('is bash that ShellCheck has nothing to say about', async () => {
    const host = new Captor()
    await start(host)
    await startRecovery(host, new Listener(), fetched, { ...target, at: undefined, record: recorded(set) })
    await pageChecksums(host, new Listener())
    clean(...host.scripts, recovered(sh`${'one'}`).text)
  })

  test('reaches no network, reads the repository only, archives nothing, and ends by itself', async () => {
    const host = new Captor()
    await start(host)
    const run = host.scripts[0]?.split('\n').find((line) => line.startsWith('docker run')) ?? ''
    for (const words of [
      '--network none',
      '--cap-drop ALL',
      `/repository:/var/lib/pgbackrest:ro'`,
      `--entrypoint timeout "$image" 6h bash`,
    ])
      assert.ok(run.includes(words), words)
    assert.match(host.scripts[0] ?? '', /--archive-mode=off "\$@" restore\npostgres .*-c archive_mode=off/)
    assert.match(host.scripts[0] ?? '', /'--type=time' '--target=2026-11-22 12:00:00\.000\+00'/)
  })

  const ends = (code: number, stderr: string) =>
    failure(start(new Captor(() => ({ code, stdout: '', stderr }))))

  test('is refused when the archive ends before the moment, and says when its last change was', async () => {
    const words = 'FATAL:  recovery ended before configured recovery target was reached'
    const last = 'LOG:  last completed transaction was at log time 2026-11-22 11:59:30.5+00'
    const told = await ends(74, `${last}\n${words}`)
    assert.is(told.exitCode, 3)
    assert.match(
      told.message,
      /^2026-11-22T12:00:00\.000Z cannot be reached with the archive on the Storage Box: its last change there is of 2026-11-22 11:59:30\.5\+00/,
    )
    assert.match((await ends(74, words)).message, /nothing was changed after that backup/)
  })

  test('of a backup is unverified when the archive ends before its restore point: it was there once', async () => {
    const words = 'FATAL:  recovery ended before configured recovery target was reached'
    const host = new Captor(() => ({ code: 74, stdout: '', stderr: words }))
    const named = { ...target, at: undefined, record: recorded(set) }
    const { exitCode, message } = await failure(startRecovery(host, new Listener(), fetched, named))
    assert.is(exitCode, 6)
    assert.match(message, /on the Storage Box ends before its restore point: WAL there is damaged or missing/)
  })

  test('that does not come up tells which other copy or backup to take, with its last words', async () => {
    const { exitCode, message } = await ends(74, 'ERROR: [028]: cipher header invalid')
    assert.is(exitCode, 6)
    assert.match(
      message,
      new RegExp(`from ${set.label} could not be restored from the copy on the Storage Box`),
    )
    assert.match(message, /cipher header invalid$/)
  })

  test('that has no room, or no server to work on, says just that', async () => {
    assert.equal(
      [(await ends(76, 'no room')).exitCode, (await ends(76, 'no room')).message],
      [3, 'captor: no room'],
    )
    assert.is((await ends(1, 'docker: not found')).exitCode, 1)
  })
})
