import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { $, labDir, labPath, text } from './shell.ts'

export const ADDRESS = {
  hetzner: '10.88.0.4',
  pebble: '10.88.0.5',
  server: '10.88.0.10',
  storagebox: '10.88.0.20',
  luks: '10.88.0.30',
} as const

/** Makes, once, every key pair and certificate of the lab under `.lab/`. */
export async function makeKeys(): Promise<void> {
  labDir('keys')
  const names = ['operator', 'server_host', 'box_host', 'box', 'box_admin', 'alice', 'bob', 'carol']
  for (const name of names) await sshKey(name)
  const hostKey = (name: string) => readFileSync(labPath('keys', `${name}.pub`), 'utf8').trim()
  writeFileSync(labPath('known_hosts'), `${ADDRESS.server} ${hostKey('server_host')}\n`)
  const box = ADDRESS.storagebox
  writeFileSync(labPath('box_known_hosts'), `${box},[${box}]:23 ${hostKey('box_host')}\n`)
  await certificates()
  for (const name of ['custodian-a', 'custodian-b']) await gpgKey(name)
}

async function sshKey(name: string): Promise<void> {
  const path = labPath('keys', name)
  if (!existsSync(path)) await $`ssh-keygen -q -t ed25519 -N '' -C ${`lab-${name}`} -f ${path}`
}

/** The lab's own authority, and one certificate for the fake API and for Pebble's directory. */
async function certificates(): Promise<void> {
  const cert = labPath('certs', 'server.pem')
  if (existsSync(cert)) return
  const [ca, caKey, key] = [labPath('ca.pem'), labPath('keys', 'ca.key'), labPath('certs', 'server.key')]
  const names = ['DNS:api.hetzner.cloud', 'DNS:pebble', `IP:${ADDRESS.hetzner}`, `IP:${ADDRESS.pebble}`]
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '3650']
  await $`openssl req -x509 ${ec} -subj ${'/CN=EverySkill lab authority'} -keyout ${caKey} -out ${ca}`
  await $`openssl req -x509 ${ec} -subj /CN=lab -CA ${ca} -CAkey ${caKey} -keyout ${key} -out ${cert}.part \
    -addext ${`subjectAltName=${names.join()}`} -addext basicConstraints=critical,CA:FALSE; mv ${cert}.part ${cert}`
}

/** A backup recipient: the private half stays in `.lab/gnupg`, the public half goes to `.lab/recipients`. */
async function gpgKey(name: string): Promise<void> {
  const exported = labPath('recipients', `${name}.asc`)
  if (existsSync(exported)) return
  const home = labDir('gnupg')
  const gpg = ['--homedir', home, '--batch', '--quiet', '--no-tty']
  const id = `EverySkill lab ${name} <${name}@everyskill.test>`
  await $`gpg ${gpg} --passphrase '' --pinentry-mode loopback --quick-generate-key ${id} default default 10y`
  const armoured = await text($`gpg ${gpg} --armor --export ${id}`)
  await $`gpgconf --homedir ${home} --kill gpg-agent`
  writeFileSync(exported, `${armoured}\n`)
}

/** Forgets every key and secret, so that the next lab has new ones. */
export function forgetKeys(): void {
  const made = [
    'keys',
    'certs',
    'gnupg',
    'recipients',
    'known_hosts',
    'box_known_hosts',
    'ca.pem',
    'pebble-root.pem',
    '.env',
  ]
  for (const name of made) rmSync(labPath(name), { recursive: true, force: true })
}
