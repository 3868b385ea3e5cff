import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { vmImage } from './images.ts'
import { $, $try, labDir, ROOT } from './shell.ts'

const name = 'everyskill-lab-vm'

/** A virtual machine with a Postgres of ours on its disk. Software emulation: slow, and it works everywhere. */
export type Vm = {
  /** Boots it for a job of its init; what it says goes line by line to the listener, until it is off or its power is cut. */
  boot: (job: 'write' | 'check', heard: (line: string) => void) => Promise<void>
  /** Kills QEMU: what the machine had in memory only is lost. */
  cutPower: () => Promise<void>
  remove: () => Promise<void>
}

/** Makes the machine's disk out of a Postgres image. */
export async function makeVm(postgres: string): Promise<Vm> {
  const image = await vmImage()
  await remove()
  await $`docker volume create --label everyskill.lab=true ${name}`
  const stage = labDir('cache/vm')
  const conf = join(stage, 'etc/pgbackrest/conf.d')
  mkdirSync(conf, { recursive: true })
  copyFileSync(join(ROOT, 'docker/pgbackrest.conf'), join(conf, 'everyskill.conf'))
  writeFileSync(join(conf, 'cipher.conf'), `[global]\nrepo1-cipher-pass=${randomBytes(24).toString('hex')}\n`)
  const tar = join(stage, 'root.tar')
  const container = (await $`docker create --label everyskill.lab=true ${postgres}`).stdout.trim()
  await $`docker export --output ${tar} ${container}; docker rm ${container} > /dev/null; tar -rf ${tar} -C ${stage} etc`
  const disk = ['--volume', `${name}:/disk`]
  await $({
    timeout: '300s',
  })`docker run --rm -i --label everyskill.lab=true ${disk} ${image} /vm/make-disk < ${tar}`
  rmSync(stage, { recursive: true, force: true })

  const boot = (job: string, heard: (line: string) => void) =>
    new Promise<void>((done, fail) => {
      const run = ['run', '--rm', '--name', name, '--label', 'everyskill.lab=true', ...disk]
      const child = spawn('docker', [...run, image, '/vm/boot', job], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      let rest = ''
      child.stdout.setEncoding('utf8').on('data', (part: string) => {
        const lines = (rest + part).split(/\r?\n/)
        rest = lines.pop() ?? ''
        lines.forEach(heard)
      })
      child.on('error', fail)
      child.on('close', () => done())
    })
  return { boot, cutPower: async () => void (await $`docker kill ${name}`), remove }
}

async function remove(): Promise<void> {
  await $try`docker rm --force ${name}`
  await $try`docker volume rm --force ${name}`
}
