import * as assert from 'uvu/assert'
import { otherThan } from '../../ops/lib/compose.ts'
import { before, idsOf, imagesOf, newRelease, releaseId } from '../../ops/lib/release.ts'
import { imagesFor, shaOf } from '../../ops/lib/stack.ts'
import { describe } from '../describe.ts'

const stable = { caddy: 'everyskill/caddy:id-1', postgres: 'everyskill/postgres:id-2' }

describe('stack', ({ test }) => {
  test('the first release stands in both colours, because compose wants a name for each', () => {
    assert.equal(imagesFor('aaa', 'blue', stable, {}), {
      ...stable,
      migrate: 'everyskill/migrate:aaa',
      blue: 'everyskill/web:aaa',
      green: 'everyskill/web:aaa',
    })
  })

  test('a release changes its own colour and leaves the live one alone', () => {
    const now = { blue: 'everyskill/web:aaa', green: 'everyskill/web:zzz' }
    const { blue, green } = imagesFor('bbb', 'green', stable, now)
    assert.equal([blue, green], ['everyskill/web:aaa', 'everyskill/web:bbb'])
    assert.is(shaOf({ blue, green }, 'green'), 'bbb')
  })

  test('colours alternate', () => assert.equal([otherThan('blue'), otherThan('green')], ['green', 'blue']))

  test('a rollback goes back, and a second one further back, never forward', () => {
    const newestFirst = (...shas: string[]) =>
      shas
        .map((sha, i) => ({ ...newRelease(sha, 'blue', {}, new Date(i)), outcome: 'live' as const }))
        .reverse()
    assert.is(before(newestFirst('a', 'b'), 'b')?.sha, 'a')
    assert.is(before(newestFirst('a', 'b', 'a'), 'a'), undefined)
    assert.is(before(newestFirst('a', 'b', 'c', 'b'), 'b')?.sha, 'a')
    const [failed, ...rest] = newestFirst('a', 'b', 'c')
    assert.ok(failed)
    assert.is(before([{ ...failed, outcome: 'started' }, ...rest], 'b')?.sha, 'a')
  })

  test('a rollback records the web image that it brings back, and nothing that it leaves alone', () => {
    const image = (role: string) => ({
      name: role,
      id: `sha256:${role}`,
      bases: '',
      bytes: 1,
      standIn: false,
    })
    const built = newRelease(
      'a',
      'blue',
      imagesOf(['web', 'migrate', 'caddy', 'postgres'].map(image), undefined),
    )
    assert.is(idsOf(built).caddy, 'sha256:caddy')
    assert.equal(idsOf(newRelease('a', 'green', imagesOf([], built))), { web: 'sha256:web' })
  })

  test('a release id sorts by time', () => {
    const earlier = releaseId('f'.repeat(40), new Date('2026-11-22T20:53:10.123Z'))
    const later = releaseId('0'.repeat(40), new Date('2026-11-22T20:53:11Z'))
    assert.is(earlier, '20261122T205310Z-ffffffffffff')
    assert.ok(earlier < later)
  })
})
