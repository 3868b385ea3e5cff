/** The runbooks of the encrypted disk, pasted against a whole machine: what their reader puts in, types, and does in the console. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parse } from 'dotenv'
import { keyOf, type Machine } from '../lab/luks/machine.ts'
import { start } from '../lab/luks/scripts.ts'
import { $try, until } from '../lab/shell.ts'
import { type Played, play } from './play.ts'
import { byHandOf, readRunbook } from './runbook.ts'

const seconds = 800

/** Plays unlock-after-reboot.md on a machine that waits at its prompt; it is rebooted once more, to be unlocked by hand. */
export function playUnlock(machine: Machine, who: string, passphrase: string): Promise<Played[]> {
  return withConsole({ reboot: () => restarted(machine) }, async (asked, dir) => {
    const env = parse(readFileSync(machine.env))
    const runbook = readRunbook('runbooks/unlock-after-reboot.md')
    // The line of the crontab is another machine's: the engine test runs it.
    runbook.blocks = runbook.blocks.filter(({ code }) => !code.includes('crontab'))
    const byHand = byHandOf(runbook, keyOf(who), env.UNLOCK_KNOWN_HOSTS ?? '')
    const envFile = join(dir, '.env')
    const own = readFileSync(machine.env, 'utf8').replace(
      /^UNLOCK_SSH_KEY=.*$/m,
      `UNLOCK_SSH_KEY=${keyOf(who)}`,
    )
    writeFileSync(envFile, own, { mode: 0o600 })
    // It may be cut off before it can answer, which the runbook says, and then looks whether the server starts.
    const by_hand = `${asked('reboot')}; ${byHand} || true; :`
    const values = {
      ...{ ENV_FILE: envFile, SERVER_HOST: machine.address, by_hand },
      ...{ UNLOCK_PORT: env.UNLOCK_PORT ?? '2222', SERVER_SSH_PORT: env.SERVER_SSH_PORT ?? '22' },
      on_server: sshTo(machine, env.SERVER_KNOWN_HOSTS ?? ''),
    }
    return play(runbook, values, seconds, { 'ops/unlock.ts': `${passphrase}\n`, by_hand: passphrase })
  })
}

/**
 * Plays custodians.md on a machine that runs: one custodian comes, one goes, and the header is put back twice.
 * @param stays a custodian who unlocks it afterwards
 */
export function playCustodians(
  machine: Machine,
  names: { stays: string; comes: string; goes: string },
  passphrases: Record<string, string>,
): Promise<Played[]> {
  const { stays, comes, goes } = names
  const secret = (name: string) => passphrases[name] ?? ''
  const rescue = sshTo(machine, '/dev/null -o StrictHostKeyChecking=no')
  const does = {
    rescue: async () => {
      await machine.power('off')
      const key = readFileSync(`${keyOf('operator')}.pub`, 'utf8').trim()
      await machine.exec(`echo '${key}' > /power/keys; touch /power/rescue`)
      await machine.power('on')
      const there = async () => (await $try`bash -c ${`${rescue} hostname`}`).stdout.trim() === 'rescue'
      await until('the rescue system', 300, async () => ((await there()) ? true : undefined))
    },
    back: async () => {
      await restarted(machine)
      const { code, stderr } = await start(machine.env, ['unlock', '--as', stays], [secret(stays)]).done
      if (code !== 0)
        throw new Error(`the machine does not unlock with the header that was put back: ${stderr}`)
    },
  }
  return withConsole(does, (asked, dir) => {
    const env = parse(readFileSync(machine.env))
    const script = (name: string, body: string) => {
      writeFileSync(join(dir, name), `${body}\n`, { mode: 0o700 })
      return `bash ${join(dir, name)}`
    }
    const box = `ssh -i ${env.STORAGEBOX_SSH_KEY} -p ${env.STORAGEBOX_PORT} -o BatchMode=yes -o LogLevel=ERROR -o UserKnownHostsFile=${env.STORAGEBOX_KNOWN_HOSTS} ${env.STORAGEBOX_USER}@${env.STORAGEBOX_HOST}`
    const values = {
      ...{ ENV_FILE: machine.env, NEW: comes, KEY: `${keyOf(comes)}.pub`, GOES: goes },
      on_box: script('on_box', `${box} "\${@/#backups/${env.STORAGEBOX_DIR}}"`),
      // By the first command for it the machine has to be in rescue mode.
      in_rescue: script(
        'in_rescue',
        `[ -e ${dir}/was ] || { touch ${dir}/was; ${asked('rescue')}; }\n${rescue} "$@"\n[ "$1" != -t ] || { ${asked('back')}; }`,
      ),
      decrypt: `gpg --homedir ${env.BACKUP_GPG_HOMEDIR} --batch --quiet --no-tty --decrypt`,
    }
    return play(readRunbook('runbooks/custodians.md'), values, seconds, {
      '--custodians add': `${secret(stays)}\n${secret(comes)}\n`,
      '--custodians verify': `${secret(comes)}\n`,
      '--custodians revoke': `${secret(stays)}\n`,
      '--test-passphrase': secret(comes),
    })
  })
}

/** Power off and on again, from the disk, until the prompt is there. */
async function restarted(machine: Machine): Promise<void> {
  await machine.power('off')
  await machine.power('on')
  const asks = async () => (/Please unlock disk/.test(await machine.console()) ? true : undefined)
  await until('the prompt', 300, asks)
}

function sshTo(machine: Machine, knownHosts: string): string {
  const options = ['BatchMode=yes', 'LogLevel=ERROR', 'ConnectTimeout=10', `UserKnownHostsFile=${knownHosts}`]
  return `ssh -i ${keyOf('operator')} ${options.map((one) => `-o ${one}`).join(' ')} root@${machine.address}`
}

/**
 * Does what a person does in Hetzner's console while a runbook is pasted.
 * @param does what its commands can ask for, by name; `asked` gives the bash that asks and waits
 */
async function withConsole<T>(
  does: Record<string, () => Promise<void>>,
  work: (asked: (name: string) => string, dir: string) => Promise<T>,
): Promise<T> {
  const dir = mkdtempSync(join(tmpdir(), 'console-'))
  const asked = (name: string) => `touch ${dir}/${name}; while [ -e ${dir}/${name} ]; do sleep 0.2; done`
  let ended = false
  const person = (async () => {
    for (; !ended; await sleep(200))
      for (const [name, act] of Object.entries(does)) {
        if (!existsSync(join(dir, name))) continue
        await act()
        rmSync(join(dir, name))
      }
  })()
  const failed = person.then(() => new Promise<never>(() => {}))
  try {
    return await Promise.race([work(asked, dir), failed])
  } finally {
    ended = true
    await person.catch(() => {})
    rmSync(dir, { recursive: true, force: true })
  }
}
