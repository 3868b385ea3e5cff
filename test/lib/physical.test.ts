import * as assert from 'uvu/assert'
import { Fail } from '../../ops/lib/fail.ts'
import { makePhysical, repository, stanzaScript, verifyRepository } from '../../ops/lib/physical.ts'
import { clean } from '../bash.ts'
import { describe } from '../describe.ts'
import { Captor, Listener } from '../hosts.ts'

const label = '20261122-101700F'
const info = (own: object = {}) =>
  JSON.stringify([
    {
      archive: [],
      backup: [
        {
          archive: { start: '000000010000000000000004', stop: '000000010000000000000005' },
          error: false,
          info: { repository: { delta: 10 }, size: 100 },
          label,
          lsn: { start: '0/4000028', stop: '0/5000050' },
          reference: null,
          timestamp: { start: 1795342620, stop: 1795342640 },
          type: 'full',
          ...own,
        },
      ],
      db: [],
      status: { code: 0, message: 'ok' },
    },
  ])
const facts = (said: string) =>
  [
    'P00 INFO: noise',
    'lsn\t0/6000108',
    'segment\t000000010000000000000006',
    'rows\tpublic.documents\t20',
    'postgres\t17.11',
    'system\t7',
    `sha256\t${'c'.repeat(64)}`,
    'release\t',
    `info\t${said}`,
  ].join('\n')

/** A host on which a backup says so much; what is put there is kept. */
class Server extends Captor {
  readonly put_: [string, string][] = []

  override async put(path: string, content: string | Buffer): Promise<void> {
    this.put_.push([path, String(content)])
  }
}

const failure = async (work: Promise<unknown>) => {
  const error = await work.catch((thrown: unknown) => thrown)
  assert.ok(error instanceof Fail, String(error))
  return error as Fail
}

describe('a physical backup', ({ test }) => {
  test('is made by bash that ShellCheck has nothing to say about', async () => {
    const server = new Server(() => facts(info()))
    for (const type of ['full', 'incr'] as const) await makePhysical(server, new Listener(), type, 90)
    const other = new Captor(() => '[]')
    await repository(other, new Listener())
    await verifyRepository(other, new Listener()).catch(() => {})
    clean(...server.scripts, ...other.scripts, stanzaScript().text)
  })

  test('leaves a record beside the repository, under its own name', async () => {
    const server = new Server(() => facts(info()))
    const record = await makePhysical(server, new Listener(), 'full', 90)
    assert.equal([record?.label, record?.rows], [label, { 'public.documents': 20 }])
    const [[path, content] = ['', '']] = server.put_
    assert.is(path, `/var/backups/everyskill/manifests/${label}.json`)
    assert.equal(JSON.parse(content), record)
  })

  test('asks for room before it writes, marks before it proves the archive, and keeps so many days', async () => {
    const server = new Server(() => facts(info()))
    await makePhysical(server, new Listener(), 'full', 35)
    const [text = ''] = server.scripts
    const steps = [
      'flock -w',
      '\nroom ',
      `'--type=full' '--repo1-retention-full=35'`,
      'mark true',
      "'check'",
      'info=$(',
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

  test('with damaged pages is no backup: no record is left, and the message says what to do', async () => {
    const server = new Server(() => facts(info({ error: true })))
    const { exitCode, message } = await failure(makePhysical(server, new Listener(), 'incr', 90))
    assert.is(exitCode, 6)
    assert.match(message, /pages with a wrong checksum.*The backups before it are good/)
    assert.equal(server.put_, [])
  })

  test('with files that end within a page is one, and they are told', async () => {
    const flagged = { error: true, annotation: { 'half-pages': '1' } }
    const server = new Server(() => `half\tbase/5/16384\n${facts(info(flagged))}`)
    const heard = new Listener()
    await makePhysical(server, heard, 'incr', 90)
    assert.is(server.put_.length, 1)
    assert.match(heard.said.join('\n'), /^base\/5\/16384 ends within a page, as a disk that was full/m)
  })

  test('that the catalogue does not know was not made', async () => {
    const none = JSON.stringify([{ archive: [], backup: [], db: [], status: { code: 2, message: 'none' } }])
    const { message } = await failure(makePhysical(new Server(() => facts(none)), new Listener(), 'full', 90))
    assert.match(message, /its catalogue is empty/)
    assert.is((await failure(makePhysical(new Server(), new Listener(), 'full', 90))).exitCode, 6)
  })

  test('is good only while every file of the repository is what was written', async () => {
    const says = (text: string) => new Captor(() => text)
    assert.match(await verifyRepository(says('stanza: everyskill\nstatus: ok'), new Listener()), /ok/)
    const { exitCode, message } = await failure(
      verifyRepository(says('stanza: everyskill\nstatus: error\n  total valid files: 1'), new Listener()),
    )
    assert.is(exitCode, 6)
    assert.match(message, /total valid files: 1/)
  })
})
