/** What can go wrong on the way to the encrypted disk, and afterwards. Long: no part of `npm test`. */
import * as assert from 'uvu/assert'
import { attestedDump } from '../attested.ts'
import { describe } from '../describe.ts'
import { sometime } from '../lab/begin.ts'
import { forget, recall, remember } from '../lab/luks/cached.ts'
import { archive, gibibytes, keyOf, type Machine, machineUp } from '../lab/luks/machine.ts'
import { passphrase, type Running, start } from '../lab/luks/scripts.ts'
import { $, text, until } from '../lab/shell.ts'

/**
 * The steps of a provisioning after which there is something to lose, as they are printed, and how many milliseconds of the
 * next one may pass before it is cut short: it takes longer than that.
 */
const phases = {
  ...{
    partition: 2500,
    format: 9000,
    'key slots': 2500,
    open: 2000,
    'file systems': 20_000,
    install: 20_000,
  },
  ...{ configure: 45_000, 'boot loader': 6000, 'verify offline': 100, 'pin the host keys': 5000 },
  ...{ 'header backup': 1000, 'close the disk': 800 },
}

describe('faults of the encrypted disk', { timeout: 3_600_000 }, ({ test, before, after }) => {
  let machine: Machine
  let made = false
  let secrets: Record<string, string> = { alice: passphrase(), bob: passphrase() }
  const answers = () => [secrets.alice ?? '', secrets.bob ?? '']
  const words = (...more: string[]): [string, ...string[]] => [
    ...(['provision-luks', '--disk', '/dev/sda', '--serial', machine.serial] as const),
    ...['--size', String(gibibytes), '--archive', archive, '--confirm', machine.serial, ...more],
  ]
  const provision = (...more: string[]) => start(machine.env, words(...more), answers())
  const unlock = (name: string, secret: string) => start(machine.env, ['unlock', '--as', name], [secret]).done
  const good = async (running: Running) => {
    const { code, stdout, stderr } = await running.done
    assert.is(code, 0, stderr)
    return stdout
  }
  const flags = ['-o', 'BatchMode=yes', '-o', 'ConnectTimeout=5', '-o', 'StrictHostKeyChecking=no']
  const anyHost = [...flags, '-o', 'UserKnownHostsFile=/dev/null', '-o', 'LogLevel=ERROR']
  /** Runs a script in whatever system lets the operator in. */
  const inside = (script: string) =>
    text(
      $({
        timeout: '300s',
      })`ssh -F none -i ${keyOf('operator')} ${anyHost} ${`root@${machine.address}`} ${script}`,
    )
  /** Starts the rescue system, as a person does in the console. */
  const rescue = async () => {
    const key = `${keyOf('operator')}.pub`
    await machine.power('off')
    await $`docker exec -i everyskill-lab-luks tee /power/keys < ${key} > /dev/null`
    await machine.exec('touch /power/rescue')
    await machine.power('on')
    await until('the rescue system', 240, async () =>
      (await inside('hostname').catch(() => '')) === 'rescue' ? true : undefined,
    )
  }
  const prompt = () =>
    until('the prompt', 240, async () =>
      /Please unlock disk/.test(await machine.console()) ? true : undefined,
    )
  const restart = async () => {
    await machine.power('off')
    await machine.power('on')
    await prompt()
  }
  /** Waits until a run has printed a phase that was not hit yet, and for a moment of the next one. Undefined if it ends first. */
  const during = async (running: Running, hit: ReadonlySet<string>) => {
    let over = false
    void running.done.then(() => {
      over = true
    })
    for (; !over; await sometime(50, 100)) {
      const [phase, most] =
        Object.entries(phases).find(([one]) => !hit.has(one) && running.said().includes(`✓ ${one} `)) ?? []
      if (!phase || !most) continue
      await sometime(50, most)
      return over ? undefined : phase
    }
    return undefined
  }
  /** Provisions again and again, each call cut short after a phase that none was before, until one goes through. */
  const throughAll = async (cut: (running: Running, count: number) => Promise<void>) => {
    const hit = new Set<string>()
    for (;;) {
      const running = provision()
      const phase = await during(running, hit)
      if (!phase) {
        await good(running)
        break
      }
      hit.add(phase)
      await cut(running, hit.size)
      const { code } = await running.done
      assert.is.not(code, 0)
      console.log(`after ${phase}: cut short, ended with ${code}`)
    }
    // A step that ended there just before it was cut short here is not done, and not printed, again.
    const missed = Object.keys(phases).filter((one) => !hit.has(one))
    assert.ok(missed.length <= 2, `never cut short after ${missed.join(', ')}`)
    if (missed.length > 0) console.log(`not cut short after ${missed.join(', ')}: it had ended`)
  }
  /** Both custodians unlock, each after a start of their own; no third key slot is there. */
  const sound = async () => {
    for (const name of ['alice', 'bob']) {
      await restart()
      const { code, stderr } = await unlock(name, secrets[name] ?? '')
      assert.is(code, 0, stderr)
    }
    assert.is(await inside("cryptsetup luksDump /dev/sda3 | grep -c ': luks2$'"), '2')
  }
  /** A disk that is provisioned, with the power off: that of the test before, or an earlier run's. */
  const provisioned = async () => {
    if (made) return machine.revert('made')
    const kept = await recall(machine)
    if (kept) {
      secrets = kept.secrets
      return
    }
    await forget(machine)
    const report = await good(provision())
    await machine.power('off')
    await remember(machine, secrets, report)
  }
  /** Overwrites the first bytes of the encrypted partition, where the header was for certain. */
  const damage = async (bytes: number) => {
    const from = 512 * Number(await machine.exec('partx -rgo START --nr 3 /disk/target.img'))
    const magic = `dd if=/disk/target.img bs=1 skip=${from} count=4 status=none`
    assert.is(await machine.exec(magic), 'LUKS')
    await machine.exec(
      `dd if=/dev/zero of=/disk/target.img bs=4096 seek=${from} oflag=seek_bytes count=${bytes / 4096} conv=notrunc status=none`,
    )
    return machine.exec(`${magic} | tr -d '\\0'`)
  }

  before(
    async () => {
      machine = await machineUp()
    },
    { timeout: 1_800_000 },
  )
  after(() => machine?.power('off'))

  test('the interlocks hold on a real rescue system: each refuses, and nothing is written', async () => {
    await forget(machine)
    await rescue()
    await inside(
      'printf "label: gpt\\n,1G\\n,\\n" | sfdisk -q /dev/sda; udevadm settle; mkfs.ext4 -q /dev/sda1; mkdir -p /mnt/used; sync',
    )
    const sum = () => machine.exec('sha256sum < /disk/target.img')
    const refused = async (wanted: RegExp, ...args: string[]) => {
      await inside('sync')
      const before = await sum()
      const { code, stderr } = await start(machine.env, words(...args), answers()).done
      assert.is(code, 3, stderr)
      assert.match(stderr, wanted)
      assert.is(await sum(), before)
    }
    await refused(/serial of \/dev\/sda is LAB4242, not OTHER/, '--serial', 'OTHER', '--confirm', 'OTHER')
    await refused(/not a whole disk but a part/, '--disk', '/dev/sda1')
    await refused(/not about 40/, '--size', '40')
    await refused(/there is no \/dev\/sdb/, '--disk', '/dev/sdb')
    await refused(/expected LAB4242/, '--confirm', 'yes')
    await inside('mount -o ro /dev/sda1 /mnt/used')
    await refused(/\/dev\/sda1 is mounted on \/mnt\/used: umount/)
    await inside('umount /mnt/used')
    const cheap = '--pbkdf pbkdf2 --pbkdf-force-iterations 1000'
    await inside(
      `printf foreign | cryptsetup luksFormat --type luks2 --batch-mode ${cheap} --label other --key-file=- /dev/sda2; sync`,
    )
    await refused(/encrypted by somebody else \(LUKS label 'other'\)/)
  })

  test('an API that answers with an error is asked again', async () => {
    await forget(machine)
    await machine.failNext()
    const running = provision()
    assert.is(await during(running, new Set()), 'partition', running.said())
    running.kill()
    await running.done
    assert.match(running.said(), /unknown_error/)
  })

  test('a connection or an operator that is lost in any phase: the same call goes on', async () => {
    await forget(machine)
    await throughAll(async (running, count) => {
      if (count % 2 === 0) running.kill()
      else await running.cut()
    })
    await sound()
    await machine.save('made')
    made = true
  })

  test('more wrong passphrases than three lock nobody out', async () => {
    await provisioned()
    await restart()
    for (let i = 0; i < 5; i++) assert.is((await unlock('alice', passphrase())).code, 6, `try ${i}`)
    assert.is((await unlock('alice', secrets.alice ?? '')).code, 0)
  })

  test('of a header whose first copy is damaged the second one opens', async () => {
    await provisioned()
    assert.is(await damage(4096), '')
    await restart()
    assert.is((await unlock('bob', secrets.bob ?? '')).code, 0)
  })

  test('a header that is gone is said to be gone, is not formatted over, and comes back from its backup', async () => {
    await provisioned()
    assert.is(await damage(16 << 20), '')
    await rescue()
    const again = await provision().done
    assert.is(again.code, 3, again.stderr)
    assert.match(again.stderr, /header .* gone|no LUKS header/i)
    const back = ['provision-luks', '--custodians', 'restore-header', '/dev/sda3'] as const
    const newest = `ls $(find /box -type d -name luks-headers) | tail -n 1`
    const label = await machine.world.storagebox.exec(newest)
    const folder = await machine.world.storagebox.exec('find /box -type d -name luks-headers')
    await machine.world.storagebox.exec(`mv ${folder} ${folder}.away`)
    const none = await start(machine.env, [...back]).done
    assert.is(none.code, 3, none.stderr)
    assert.match(none.stderr, /holds no header backup/)
    await machine.world.storagebox.exec(`mv ${folder}.away ${folder}`)
    await good(start(machine.env, [...back, label, '--confirm', label]))
    await sound()
  })

  test('a power cut in any phase after the partitions: the same call goes on', async () => {
    await forget(machine)
    await throughAll(async (running) => {
      await machine.power('off')
      running.kill()
      await machine.power('on')
    })
    await sound()
  })

  test('a system that is there is encrypted where it lies, through an interruption, and keeps its data', async () => {
    await forget(machine)
    await rescue()
    await inside(`wipefs -aq /dev/sda; sgdisk -I -n14:1M:+1M -t14:ef02 -n1:0:0 -t1:8300 /dev/sda > /dev/null
udevadm settle; mkfs.ext4 -q -L cloudimg-rootfs /dev/sda1; mkdir -p /mnt/old; mount /dev/sda1 /mnt/old
tar -x --zstd -p --numeric-owner -C /mnt/old -f /root/images/delivered.tar.zst
echo 'LABEL=cloudimg-rootfs / ext4 defaults 0 1' > /mnt/old/etc/fstab; echo kept > /mnt/old/root/DATA
printf '[Match]\\nType=ether\\n[Network]\\nDHCP=ipv4\\n' > /mnt/old/etc/systemd/network/10-dhcp.network
ln -s /usr/lib/systemd/system/systemd-networkd.service /mnt/old/etc/systemd/system/multi-user.target.wants/
umount /mnt/old; sync`)
    const [script, ...all] = words('--preserve', '--backup-attested')
    const kept = all.filter((word) => word !== '--archive' && word !== archive)
    const preserve = (label: string) => start(machine.env, [script, ...kept, label], answers())
    const unknown = await preserve('20010101T000000Z').done
    assert.is(unknown.code, 3, unknown.stderr)
    const label = '20261122T000000Z'
    const dump = `/box/everyskill/disk/dumps/${label}`
    const onBox = (script: string) =>
      machine.world.storagebox.exec(`${script}; chmod -R a+rX /box/everyskill/disk`)
    await onBox(`rm -rf ${dump}; mkdir -p ${dump}`)
    const empty = await preserve(label).done
    assert.is(empty.code, 3, empty.stderr)
    assert.match(empty.stderr, /has no such dump/)
    for (const [name, content] of Object.entries(attestedDump(label)))
      await onBox(`printf '%s' '${content}' > ${dump}/${name}`)
    const running = preserve(label)
    await until('the encryption to begin', 600, async () => {
      const luks = await inside('lsblk -nro FSTYPE /dev/sda1').catch(() => '')
      return luks.includes('crypto_LUKS') ? true : undefined
    })
    await sometime(3000, 8000)
    running.kill()
    await running.done
    const again = preserve(label)
    await until('the encryption to go on', 600, async () =>
      (await inside('pgrep -x cryptsetup').catch(() => '')) !== '' ? true : undefined,
    )
    await sometime(3000, 8000)
    await machine.power('off')
    again.kill()
    await again.done
    await machine.power('on')
    await good(preserve(label))
    assert.is(await inside('cat /root/DATA; findmnt -nro SOURCE /'), 'kept\n/dev/mapper/cryptroot')
  })
})
