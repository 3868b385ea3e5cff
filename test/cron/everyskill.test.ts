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

/** The fields as cron reads them: lists, ranges and `*`; no steps, which this crontab does not use. */
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
    assert.is(jobs.length, 2)
    for (const { command, user } of jobs) {
      assert.is(user, 'root')
      const [, script = ''] = /^cd (?:\S+) && node_modules\/\.bin\/tsx (ops\/\w+\.ts)/.exec(command) ?? []
      assert.ok(command.startsWith(`cd ${paths.repo} && `), command)
      assert.ok(existsSync(join(root, script)), script)
    }
  })

  test('backs up once in every hour of every day, and once a day in full', () => {
    const hours = jobs.flatMap(({ hour }) => [...hour]).sort((a, b) => a - b)
    assert.equal(
      hours,
      Array.from({ length: 24 }, (_, i) => i),
    )
    for (const { minute, rest } of jobs) assert.equal([minute.size, ...rest], [1, '*', '*', '*'])
    const full = jobs.filter(({ command }) => command.endsWith('--full'))
    assert.equal(
      full.map(({ hour }) => hour.size),
      [1],
    )
  })

  test('never starts two of its jobs in the same minute', () => {
    const starts = jobs.flatMap(({ hour, minute }) =>
      [...hour].flatMap((h) => [...minute].map((m) => h * 60 + m)),
    )
    assert.is(new Set(starts).size, starts.length)
  })
})
