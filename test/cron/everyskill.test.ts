import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { paths } from '../../ops/lib/paths.ts'
import { describe } from '../describe.ts'

const root = join(import.meta.dirname, '../..')
const text = readFileSync(join(root, 'cron/everyskill'), 'utf8')
const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
const settings = lines.filter((line) => /^[A-Z_]+=/.test(line))
const jobs = lines.filter((line) => !settings.includes(line)).map(parse)

interface Job {
  minute: Set<number>
  hour: Set<number>
  rest: string[]
  user: string
  command: string
}

/** The fields as cron reads them: lists, ranges, `*`, and steps of it. */
function parse(line: string): Job {
  const [minute = '', hour = '', day = '', month = '', weekday = '', user = '', ...words] = line.split(' ')
  return {
    minute: range(minute, 59),
    hour: range(hour, 23),
    rest: [day, month, weekday],
    user,
    command: words.join(' '),
  }
}

function range(field: string, last: number): Set<number> {
  const step = /^\*\/([1-9]\d*)$/.exec(field)?.[1]
  if (step)
    return new Set(Array.from({ length: Math.ceil((last + 1) / Number(step)) }, (_, i) => i * Number(step)))
  const parts = field === '*' ? [`0-${last}`] : field.split(',')
  return new Set(
    parts.flatMap((part) => {
      assert.match(part, /^\d+(-\d+)?$/)
      const [from = 0, to = from] = part.split('-').map(Number)
      assert.ok(from <= to && to <= last, part)
      return Array.from({ length: to - from + 1 }, (_, i) => from + i)
    }),
  )
}

describe('the crontab', ({ test }) => {
  test('ends in a newline: cron ignores a last line without one', () => assert.ok(text.endsWith('\n')))

  test('sets its shell, its path, its addressee, and asks for silence', () => {
    assert.equal(
      settings.map((line) => line.split('=')[0]),
      ['SHELL', 'PATH', 'MAILTO', 'OPS_QUIET'],
    )
    const path = settings[1] ?? ''
    assert.ok(path.startsWith(`PATH=${paths.node}/bin:`), path)
    for (const dir of path.slice('PATH='.length).split(':')) assert.match(dir, /^\//)
    assert.not.match(settings.join('\n'), /\$/, 'cron expands nothing here')
  })

  test('has no percent sign in a command: cron would end it there', () => {
    for (const { command } of jobs) assert.not.match(command, /%/)
  })

  test('runs scripts that are there, in the folder that bootstrap fills, as root', () => {
    assert.is(jobs.length, 4)
    for (const { command, user } of jobs) {
      assert.is(user, 'root')
      const run = /(?:^| )node_modules\/\.bin\/tsx (ops\/[\w-]+\.ts)/.exec(command)
      assert.ok(command.startsWith(`cd ${paths.repo} && `), command)
      assert.ok(existsSync(join(root, run?.[1] ?? '')), command)
    }
  })

  test('does what is due once in every hour of every day: what was missed is overdue at the next', () => {
    const { minute, hour, rest } = job('')
    assert.equal([minute.size, hour.size, ...rest], [1, 24, '*', '*', '*'])
  })

  test('starts what runs for ever, and the look at it, again within two minutes; never a second one', () => {
    const [ship, watch] = [job('ship'), job('status --alert')]
    assert.equal([ship.minute.size, ship.hour.size, ...ship.rest], [60, 24, '*', '*', '*'])
    assert.equal([watch.minute.size, watch.hour.size, ...watch.rest], [30, 24, '*', '*', '*'])
    const locks = [ship, watch].map(
      ({ command }) => / && flock -n -E 0 (\/run\/lock\/[\w.-]+) /.exec(command)?.[1],
    )
    assert.ok(locks.every(Boolean), 'without -E 0 a job that still runs would be mailed as a failure')
    assert.is(new Set(locks).size, 2)
  })

  test('proves once a week that the newest backup restores, never in the minute of the hourly job', () => {
    const drill = job('drill')
    assert.equal([drill.minute.size, drill.hour.size], [1, 1])
    assert.match(drill.rest.join(' '), /^\* \* [0-6]$/)
    assert.not.ok(job('').minute.has([...drill.minute][0] ?? -1))
  })
})

/** The one job that calls `backup` with these words. */
function job(words: string): Job {
  const found = jobs.filter(({ command }) => command.endsWith(`tsx ops/backup.ts ${words}`.trim()))
  assert.is(found.length, 1, words)
  return found[0] as Job
}
