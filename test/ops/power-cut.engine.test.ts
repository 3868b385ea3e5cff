/** The power goes while the database is written and backed up: what was acknowledged is there, and backups go on. */
import * as assert from 'uvu/assert'
import { describe } from '../describe.ts'
import { build } from '../docker/world.ts'
import { sometime } from '../lab/begin.ts'
import { until } from '../lab/shell.ts'
import { makeVm, type Vm } from '../lab/vm.ts'

describe('a power cut', { timeout: 420_000 }, ({ test, before, after }) => {
  let vm: Vm

  before(async () => {
    vm = await makeVm(await build('postgres'))
    console.log('the machine is emulated in software (QEMU, TCG)')
  })
  after(() => vm.remove())

  test('loses no committed row, no archived WAL, and no backup that is listed', async () => {
    let committed = 0
    const writing = vm.boot('write', (line) => {
      committed = Number(/^POWER committed (\d+)$/.exec(line)?.[1] ?? committed)
    })
    await until('the first rows', 180, async () => (committed > 50 ? true : undefined))
    await sometime(1000, 8000)
    await vm.cutPower()
    await writing
    const acknowledged = committed
    console.log(`the power was cut after ${acknowledged} rows`)

    const said: string[] = []
    await vm.boot('check', (line) => said.push(line))
    const fact = (name: string) =>
      said.map((line) => new RegExp(`POWER ${name} ?(.*)$`).exec(line)?.[1]).find((one) => one !== undefined)
    assert.is(fact('failed'), undefined, said.join('\n'))
    const [count, last] = (fact('rows') ?? '').split(' ').map(Number)
    assert.is(count, last, 'no gap')
    assert.ok((last ?? 0) >= acknowledged, `${last} rows of ${acknowledged} acknowledged ones`)
    assert.is(fact('restored'), fact('rows'), 'a backup made afterwards restores to the same rows')
    assert.is(fact('verified'), '', said.join('\n'))
    assert.is(fact('done'), '', said.join('\n'))
  })
})
