import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { markScript } from '../../ops/lib/marking.ts'
import { Script } from '../../ops/lib/sh.ts'
import { clean } from '../bash.ts'
import { describe } from '../describe.ts'
import { Elsewhere, Listener } from '../hosts.ts'

describe('the marking of a restore point', ({ test, before, after }) => {
  let host: Elsewhere
  let dir = ''
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'mark-'))
    host = new Elsewhere(dir, new Listener())
    host.program('sleep', 'echo slept >> $0.log')
    // psql: says the n-th line of `says`, which ends in its exit code, and keeps its words
    host.program(
      'docker',
      `cat > "$0.sql"; echo "$@" >> "$0.log"
n=$(wc -l < "$0.log"); read -r said code < <(sed -n "\${n}p" ${dir}/says)
echo "$said" | tr _ ' ' >&2; if [ "$code" = 0 ]; then printf "lsn\\t0/1\\n"; fi; exit "$code"`,
    )
  })
  after(() => rmSync(dir, { recursive: true, force: true }))

  const run = async (...says: string[]) => {
    for (const name of ['docker', 'sleep']) rmSync(join(dir, 'bin', `${name}.log`), { force: true })
    writeFileSync(join(dir, 'says'), `${says.join('\n')}\n`)
    const script = markScript('backup-20261122T205310Z')
    const answer = await host.probe(
      new Script(`TMPDIR=${dir}/tmp; mkdir -p "$TMPDIR"; export TMPDIR\npostgres=id\n${script.text}`),
    )
    assert.equal(readdirSync(join(dir, 'tmp')), [], 'it leaves nothing behind')
    return { ...answer, calls: readFileSync(join(dir, 'bin/docker.log'), 'utf8').trim().split('\n') }
  }
  const slept = () => existsSync(join(dir, 'bin/sleep.log'))
  const busy = 'ERROR:_canceling_statement_due_to_lock_timeout 3'

  test('is bash that ShellCheck has nothing to say about', () => {
    clean(`postgres=id\n${markScript('backup-20261122T205310Z').text}`)
  })

  test('asks once when nobody holds a table, with the point in a variable of psql', async () => {
    const { code, stdout, calls } = await run('well 0')
    assert.equal([code, stdout, calls.length, slept()], [0, 'lsn\t0/1\n', 1, false])
    assert.match(
      calls[0] ?? '',
      /^exec -i -u postgres id psql .* -v point=backup-20261122T205310Z -v count=true$/,
    )
    const sql = readFileSync(join(dir, 'bin/docker.sql'), 'utf8')
    assert.match(
      sql,
      /lock table :tables in share mode;[\s\S]*pg_create_restore_point\(:'point'\)[\s\S]*rollback to savepoint unlocked;[\s\S]*count/,
    )
  })

  test('asks again while a table is locked, and takes the first that works', async () => {
    const { code, stdout, calls } = await run(busy, busy, 'well 0')
    assert.equal([code, stdout, calls.length], [0, 'lsn\t0/1\n', 3])
  })

  test('sets the point without counting when a table stays locked, and says so', async () => {
    const { code, stdout, calls } = await run(...Array(15).fill(busy), 'well 0')
    assert.equal([code, calls.length], [0, 16])
    assert.match(calls[15] ?? '', /-v count=false$/)
    assert.is(stdout, 'busy\tyes\nlsn\t0/1\n')
  })

  test('ends at once, in the words of the database, when something else is wrong', async () => {
    const { code, stderr, calls, stdout } = await run('FATAL:_the_database_is_starting_up 2')
    assert.equal([code, stdout, calls.length, slept()], [1, '', 1, false])
    assert.match(stderr, /FATAL: the database is starting up/)
  })
})
