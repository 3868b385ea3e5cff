import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import * as assert from 'uvu/assert'
import { neverReboot, startAtBoot } from '../../ops/lib/reboots.ts'
import { clean } from '../bash.ts'
import { describe } from '../describe.ts'
import { folders } from '../folders.ts'

describe('reboots', ({ test, before, after }) => {
  const folder = folders({ before, after })

  test('are forbidden to unattended-upgrades, whatever its own file says', () => {
    const dir = folder()
    const file = (path: string, text: string) => writeFileSync(join(dir, basename(path)), text)
    file('50unattended-upgrades', 'Unattended-Upgrade::Automatic-Reboot "true";\n')
    const says = () =>
      spawnSync('apt-config', ['dump', 'Unattended-Upgrade'], {
        env: { ...process.env, APT_CONFIG: join(dir, 'apt.conf') },
        encoding: 'utf8',
      })
    file('apt.conf', `Dir::Etc::parts "${dir}";\n`)
    const control = says()
    // Where there is no apt there is nothing to ask.
    if (control.error) return
    assert.match(control.stdout, /Automatic-Reboot "true"/)
    file(neverReboot.path, neverReboot.content)
    const { stdout, stderr } = says()
    assert.match(stdout, /Automatic-Reboot "false"/, stderr)
    assert.match(stdout, /Automatic-Reboot-WithUsers "false"/)
    assert.not.match(stdout, '"true"')
  })

  test('bring Docker and cron up again', () => {
    clean(startAtBoot().text)
  })
})
