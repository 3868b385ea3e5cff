import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { inside, packagesScript } from '../../ops/lib/chroot.ts'
import { freshParts, letOperatorIn, loader, promptKey, putSystemFiles } from '../../ops/lib/configuring.ts'
import { Host } from '../../ops/lib/host.ts'
import { configurationOf, kernelLine, type System, systemFiles } from '../../ops/lib/new-system.ts'
import { offlineScript, searchPassphrases } from '../../ops/lib/offline-check.ts'
import { Script, sh } from '../../ops/lib/sh.ts'
import { initramfsIp } from '../../ops/lib/system-network.ts'
import { clean } from '../bash.ts'
import { describe, rejects } from '../describe.ts'
import { folders } from '../folders.ts'
import { Listener } from '../hosts.ts'

const custodians = ['alice', 'bob'].map((name) => ({ name, key: `ssh-ed25519 ${name}`, fingerprint: '' }))
const system: System = {
  ...{
    hostname: 'host-1',
    network: { kind: 'dhcp', ipv6: '2001:db8::1' },
    custodians,
    keys: ['ssh-ed25519 op'],
  },
  ...{ unlockPort: '2222', console: 'tty0', luks: 'LUKS-ID', boot: 'BOOT-ID' },
}
const fixed: System = {
  ...system,
  network: { kind: 'static', address: '192.0.2.7', gateway: '172.31.1.1', ipv6: undefined },
}
const content = (of: System, path: string) =>
  systemFiles(of).find((file) => file.path === path)?.content ?? ''

describe('the configuration of the new system', ({ test }) => {
  test('asks for the passphrase without end, and never gives a shell', () => {
    assert.is(
      content(system, '/etc/crypttab'),
      'cryptroot UUID=LUKS-ID none luks,discard,initramfs,tries=0\n',
    )
    assert.match(content(system, '/etc/default/grub.d/99-everyskill.cfg'), / panic=10"\n/)
    assert.match(content(system, '/etc/default/grub.d/99-everyskill.cfg'), /GRUB_DISABLE_RECOVERY=true/)
    assert.match(content(system, '/etc/grub.d/01_everyskill'), /set superusers="nobody"\nexport/)
  })

  test('lets each custodian’s key do one thing', () => {
    assert.match(
      content(system, '/etc/dropbear/initramfs/dropbear.conf'),
      /^DROPBEAR_OPTIONS="-p 2222 -s -j -k -I \d+"\n$/,
    )
    const keys = content(system, '/etc/dropbear/initramfs/authorized_keys').trimEnd().split('\n')
    assert.is(keys.length, 2)
    for (const key of keys)
      assert.match(key, /,command="\/bin\/cryptroot-unlock" ssh-ed25519 (alice|bob) \1$/)
  })

  test('has an address by DHCP, or a /32 with its gateway outside', () => {
    assert.is(initramfsIp(system), 'dhcp')
    assert.match(
      content(system, '/etc/initramfs-tools/conf.d/everyskill'),
      /^DEVICE=eth0\nIP=dhcp\nRESUME=none\nUMASK=0077\n$/,
    )
    assert.is(initramfsIp(fixed), '192.0.2.7::172.31.1.1:255.255.255.255:host-1:eth0:off')
    const network = content(fixed, '/etc/systemd/network/10-everyskill.network')
    assert.match(network, /DHCP=no\n.*\nAddress=192\.0\.2\.7\/32\n/)
    assert.match(network, /\[Route\]\nGateway=172\.31\.1\.1\nGatewayOnLink=yes/)
    assert.match(
      content(system, '/etc/systemd/network/10-everyskill.network'),
      /Address=2001:db8::1\/64\n\[Route\]\nGateway=fe80::1/,
    )
  })

  test('asks last where a person looks', () => {
    assert.match(kernelLine({ console: 'tty0' }), /^console=ttyS0,115200 console=tty0 /)
    assert.match(kernelLine({ console: 'ttyS0' }), /^console=tty0 console=ttyS0,115200 /)
  })

  test('of a system that stays keeps its name, its network and its other file systems', () => {
    const kept = { ...system, kept: 'LABEL=swap none swap sw 0 0' }
    assert.equal(
      systemFiles(kept).filter(({ path }) =>
        /hostname|hosts|machine-id|network|sshd|authorized_keys|cloud/.test(path),
      ),
      systemFiles(kept).filter(({ path }) => path.startsWith('/etc/dropbear/initramfs/a')),
    )
    assert.match(
      content(kept, '/etc/fstab'),
      /^\/dev\/mapper\/cryptroot \/ .*\nUUID=BOOT-ID \/boot .*\nLABEL=swap none swap/,
    )
    const grub = content(kept, '/etc/default/grub.d/99-everyskill.cfg')
    assert.match(grub, /GRUB_CMDLINE_LINUX_DEFAULT="\$GRUB_CMDLINE_LINUX_DEFAULT console=.* panic=10"/)
    assert.not.match(grub, /ifnames|CMDLINE_LINUX=""/)
  })

  test('is another one when anything is', () => {
    assert.is(configurationOf(systemFiles(system)), configurationOf(systemFiles(system)))
    assert.is.not(configurationOf(systemFiles(system)), configurationOf(systemFiles(fixed)))
  })
})

/** This machine, with the new root below a folder. */
class Below extends Host {
  readonly dir: string

  constructor(dir: string) {
    super('below', [], new Listener())
    this.dir = dir
  }

  override argv(script: Script, timeout?: number): string[] {
    const { dir } = this
    const text = script.text
      .replace('/root /tmp /var/tmp /var/log /run /dev/shm', dir)
      .replaceAll('/mnt/everyskill', dir)
      .replaceAll('/run/lock/', `${dir}/`)
    return super.argv(new Script(text), timeout)
  }
}

describe('the scripts for the new system', ({ test, before, after }) => {
  const folder = folders({ before, after })

  test('are bash that ShellCheck has nothing to say about', () => {
    clean(
      ...[
        packagesScript,
        letOperatorIn(['ssh-ed25519 a b']),
        freshParts,
        promptKey,
        loader('/dev/sda'),
        offlineScript('id', custodians),
        inside(sh`true`),
      ].map((script) => script.text),
    )
  })

  test('put files with their modes, and leave the folders that are there', async () => {
    const dir = folder()
    mkdirSync(join(dir, 'root/root'), { recursive: true, mode: 0o700 })
    await putSystemFiles(new Below(dir), new Listener(), systemFiles(system))
    const mode = (path: string) => (statSync(join(dir, 'root', path)).mode & 0o777).toString(8)
    assert.equal(
      [
        'root',
        'root/.ssh',
        'root/.ssh/authorized_keys',
        'etc/systemd/network',
        'etc/grub.d/01_everyskill',
      ].map(mode),
      ['700', '700', '600', '755', '755'],
    )
    assert.is(readFileSync(join(dir, 'root/etc/hostname'), 'utf8'), 'host-1\n')
  })

  test('find a passphrase that stands in a file', async () => {
    const dir = folder()
    mkdirSync(join(dir, 'root/etc'), { recursive: true })
    const passphrase = `a passphrase $HOME 'quoted' ${dir}`
    await searchPassphrases(new Below(dir), new Listener(), [
      'another one, nowhere else than here',
      passphrase,
    ])
    writeFileSync(join(dir, 'root/etc/installimage.conf'), `CRYPTPASSWORD ${passphrase}\n`)
    const error = await rejects(
      () => searchPassphrases(new Below(dir), new Listener(), [passphrase]),
      /a passphrase stands in .*installimage\.conf/,
    )
    assert.not.match(String(error), /CRYPTPASSWORD/)
  })
})
