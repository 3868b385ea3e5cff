/**
 * A custodian unlocks the disk of a host that waits at its prompt after a reboot. The passphrase goes once, through ssh, to
 * Dropbear in the initramfs; it is in no argv, environment, log or file. Never tries again by itself. By hand, without this
 * repository: runbooks/unlock-after-reboot.md.
 */
import { basename } from 'node:path'
import { askSecret, refuseMoreLines } from './lib/asking.ts'
import { type Call, main } from './lib/cli.ts'
import { checkPassphrase, custodianIn } from './lib/custodian.ts'
import { keyOf } from './lib/custodian-key.ts'
import { fileIn, readEnv } from './lib/env.ts'
import { Fail } from './lib/fail.ts'
import { hostNames, serverOf } from './lib/host.ts'
import { lookAt, tell } from './lib/host-watch.ts'
import { pinnedKeys } from './lib/prompt-pin.ts'
import { checkRoot, promptAt, unlock, waitForSshd } from './lib/unlocking.ts'
import { whereIs } from './lib/waiting-host.ts'

const help = `
ops/unlock.ts: unlock the disk of a host that waits for it after a reboot

Asks for your passphrase, without showing it, once the host is at its prompt; gives it
to the host once; waits until the host's own sshd answers; looks whether its root is
the encrypted disk. Without a terminal the passphrase is the line on stdin.

  tsx ops/unlock.ts               with UNLOCK_SSH_KEY, or the ssh agent
  tsx ops/unlock.ts --watch       for cron on this machine: tells when the host is down for 10 minutes

  --as NAME       with the private key beside NAME.pub of CUSTODIANS, or the agent's one
  --wait SECONDS  for the prompt, and then for sshd (default 300)
  --watch         one look; posts to ALERT_URL, and prints, what is news. Tells again every hour. With
                  SERVER_KNOWN_HOSTS the rescue system counts as down

A wrong passphrase ends with 6. A key of yours that the prompt does not know ends with 3, and so
does a host key that is not the pinned one: somebody may be in between, do not try again. No way
there ends with 5. A host that is up, but maybe not from its disk, ends with 6.
`

const options = {
  as: { type: 'string' },
  wait: { type: 'string', default: '300' },
  watch: { type: 'boolean' },
} as const
const wanted = [
  ...hostNames,
  ...(['CUSTODIANS', 'UNLOCK_PORT', 'UNLOCK_KNOWN_HOSTS', 'UNLOCK_SSH_KEY', 'ALERT_URL'] as const),
] as const

await main({ help, options }, async ({ flags, session }: Call<typeof options>) => {
  const env = readEnv(flags.env, wanted)
  const name = env.SERVER_HOST
  if (name === 'local')
    throw new Fail(
      'usage',
      `${flags.env}:\n  SERVER_HOST: a locked host cannot unlock itself. Run this on your machine`,
    )
  if (!/^\d{1,4}$/.test(flags.wait)) throw new Fail('usage', '--wait takes seconds')
  const wait = Number(flags.wait)
  const ports = { prompt: Number(env.UNLOCK_PORT), ssh: Number(env.SERVER_SSH_PORT) }

  if (flags.watch) return tell(session, name, await lookAt(name, ports, serverKeys()), env.ALERT_URL)

  const prompt = promptAt(name, ports.prompt, await knownHosts(), await key())
  if (session.dryRun) return void (await unlock(session, prompt, ''))
  const where = await session.step(`wait for the prompt of ${name}`, () => whereIs(name, ports, wait))
  if (where === 'silent')
    throw new Fail(
      'noConnection',
      `${name} answers neither on port ${ports.prompt} nor on port ${ports.ssh}: it starts, or has no network. Its console tells`,
    )
  if (where === 'waiting') {
    const passphrase = await ask()
    const said = await session.step(`unlock ${name}`, () => unlock(session, prompt, passphrase))
    await session.step('wait for its own sshd', () => waitForSshd(prompt, ports.ssh, wait, said))
  }
  const seen = await session.step('look at its root', look)
  session.result(`${name} is ${where === 'up' ? 'up, there was nothing to unlock' : 'unlocked'}${seen}`)

  // ---

  async function ask(): Promise<string> {
    const passphrase = await askSecret(session, `passphrase for ${name}`)
    refuseMoreLines()
    if (passphrase === '') throw new Fail('usage', 'the passphrase is empty. Nothing was sent')
    try {
      checkPassphrase(name, passphrase)
    } catch (error) {
      // It may have been set by hand, so it is tried all the same.
      session.say(`  ${(error as Error).message.split('. ')[0]}: no passphrase that these scripts made`)
    }
    return passphrase
  }

  function serverKeys(): string | undefined {
    return env.SERVER_KNOWN_HOSTS && fileIn(flags.env, 'SERVER_KNOWN_HOSTS', env.SERVER_KNOWN_HOSTS)
  }

  /** @returns words for the result */
  async function look(): Promise<string> {
    const file = serverKeys()
    if (!file || (await pinnedKeys(name, env.SERVER_SSH_PORT, file)).length === 0) {
      const why = file ? `has no key for ${name}` : 'is not set'
      // What let itself be unlocked is the disk's system. What was up already may be the rescue system.
      if (where === 'waiting') return `; its root was not looked at, for SERVER_KNOWN_HOSTS ${why}`
      throw new Fail(
        'unverified',
        `${name} is up, but may be in the rescue system: SERVER_KNOWN_HOSTS ${why}, so nobody looked. No login is needed to set it`,
      )
    }
    try {
      await checkRoot(serverOf(flags.env, env, session))
      return ', its root is the encrypted disk'
    } catch (error) {
      // Custodians need no login on the server. Its host key was compared before it refused theirs.
      if (error instanceof Fail && error.message.includes('refused the key'))
        return '; its host key is the pinned one, its root was not looked at, for your key has no login there'
      if (error instanceof Fail && error.message.includes('is not the pinned one'))
        throw new Fail(
          'refused',
          `${name} is up, but does not have the key of SERVER_KNOWN_HOSTS: it is in the rescue system, was installed anew, or somebody is in between. ${error.message}`,
        )
      throw error
    }
  }

  async function knownHosts(): Promise<string> {
    const bad = (why: string) => new Fail('usage', `${flags.env}:\n  UNLOCK_KNOWN_HOSTS ${why}`)
    if (!env.UNLOCK_KNOWN_HOSTS)
      throw bad('is missing: path of the known_hosts file that provision-luks writes')
    const file = fileIn(flags.env, 'UNLOCK_KNOWN_HOSTS', env.UNLOCK_KNOWN_HOSTS)
    if ((await pinnedKeys(name, env.UNLOCK_PORT, file)).length > 0) return file
    throw bad(
      `names ${file}, which has no key for ${name}, port ${ports.prompt}. SERVER_HOST and UNLOCK_PORT have to be as in that file`,
    )
  }

  async function key(): Promise<string | undefined> {
    if (flags.as === undefined)
      return env.UNLOCK_SSH_KEY && fileIn(flags.env, 'UNLOCK_SSH_KEY', env.UNLOCK_SSH_KEY)
    // Only this one's files count: who unlocks at night has not got everybody else's.
    const paths = (env.CUSTODIANS ?? '').split(',').flatMap((path) => path.trim() || [])
    const path = paths.find((one) => basename(one, '.pub') === flags.as)
    if (path === undefined)
      throw new Fail(
        'usage',
        `--as ${flags.as}: CUSTODIANS has ${paths.map((one) => basename(one, '.pub')).join(', ') || 'nobody'}`,
      )
    const found = await keyOf(flags.env, { CUSTODIANS: path }, custodianIn(flags.env, path))
    if (found) return found
    throw new Fail(
      'usage',
      `--as ${flags.as}: the private key is not here, neither beside ${path} nor in the ssh agent (ssh-add -L)`,
    )
  }
})
