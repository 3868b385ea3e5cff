/**
 * Encrypts the disk of a server out of its rescue system: everything but /boot lies on LUKS2, and after each start a custodian
 * unlocks it over ssh. Every phase looks first whether it is done, so that the same call goes on where an earlier one stopped.
 */
import { askSecret, refuseMoreLines } from './lib/asking.ts'
import { audit } from './lib/audit.ts'
import { type Call, main } from './lib/cli.ts'
import { custodiansOf } from './lib/custodian.ts'
import { custodianVerb } from './lib/custodian-verb.ts'
import { costOf } from './lib/custody-change.ts'
import { holdings, preflight } from './lib/disk-preflight.ts'
import { diskReport, type Phase, reportLines } from './lib/disk-report.ts'
import { Fail } from './lib/fail.ts'
import { backUpIfMissing } from './lib/finishing.ts'
import { findServer, serverApi } from './lib/hcloud-server.ts'
import { Host } from './lib/host.ts'
import { checkPassphrases } from './lib/interlocks.ts'
import { layoutOf, stageOf } from './lib/layout.ts'
import { closeRoot } from './lib/new-root.ts'
import { operatorKeys } from './lib/operator-keys.ts'
import { keptLayout } from './lib/preserve-layout.ts'
import { checkAttested, preserve } from './lib/preserving.ts'
import { promptIsPinned } from './lib/prompt-pin.ts'
import { checkHeaderBackups, provisioningEnv, systemOf, wishOf } from './lib/provisioning.ts'
import { bootFromDisk, intoRescue } from './lib/rescue.ts'
import { consoleSteps } from './lib/rescue-console.ts'
import { leave, type Place, placeOf, rescueHost } from './lib/rescue-host.ts'
import { aloneInRescue } from './lib/rescue-lock.ts'
import { restart, system, testCustodians, testedBy } from './lib/unlock-test.ts'
import { makeReady, type Timed, wipe } from './lib/wiping.ts'

const help = `
ops/provision-luks.ts: encrypt a server's disk, out of its rescue system

Wipes the disk and unpacks a system on an encrypted one that two custodians at least
can unlock over ssh after each start; or encrypts the system that is there; or lists
and changes those custodians. The same call goes on after a failure. Asks for each
custodian's passphrase, in the order of CUSTODIANS; without a terminal they are the
lines of stdin. The rescue system makes a new host key each time it starts: it is
shown, to be compared at the server's console.

  tsx ops/provision-luks.ts --disk /dev/sda --serial S --size 40 --archive root.tar.zst
  tsx ops/provision-luks.ts --disk /dev/sda --serial S --size 40 --preserve --backup-attested LABEL
  tsx ops/provision-luks.ts --custodians list | add NAME KEYFILE | revoke NAME | verify NAME
  tsx ops/provision-luks.ts --custodians restore-header DEVICE [LABEL]    in the rescue system

  --disk PATH     the whole disk; what it holds is shown before it is lost
  --serial S      its serial: lsblk -dno SERIAL; none, if it has none
  --size GB       its size, about
  --archive FILE  a root file system: .tar, .tar.gz, .tar.zst or .tar.xz of this machine,
                  or rescue:PATH, one that the rescue system has
  --preserve      encrypt the system that is there where it lies, with --backup-attested LABEL:
                  a dump on the Storage Box that was restored. Interrupted, the same call goes on
  --confirm S     the serial, instead of typing it; nothing stands for it
  --hostname N    of the new system (default everyskill)
  --ip A          its IPv4 address, with --gateway G; else DHCP
  --console C     where a passphrase is asked for besides ssh: tty0, the screen (default
                  where there is one), or ttyS0, the serial line
  --start-over    begin anew where an earlier call came further
  --json          the report as JSON
`

const options = {
  disk: { type: 'string' },
  serial: { type: 'string' },
  size: { type: 'string' },
  archive: { type: 'string' },
  confirm: { type: 'string' },
  hostname: { type: 'string', default: 'everyskill' },
  ip: { type: 'string' },
  gateway: { type: 'string' },
  console: { type: 'string' },
  'start-over': { type: 'boolean' },
  preserve: { type: 'boolean' },
  'backup-attested': { type: 'string' },
  custodians: { type: 'string' },
  json: { type: 'boolean' },
} as const

await main({ help, options, positionals: true }, async ({ flags, words, session }: Call<typeof options>) => {
  if (flags.custodians !== undefined)
    return custodianVerb(session, flags.env, flags.custodians, words, flags.json ?? false, flags.confirm)
  if (words.length > 0) throw new Fail('usage', `${words[0]}: not understood. See --help`)
  const env = provisioningEnv(flags.env)
  const wish = wishOf(flags, env)
  const custodians = custodiansOf(flags.env, env.CUSTODIANS)
  const keys = await operatorKeys(flags.env, env)
  const api = serverApi(flags.env, env, session)
  const here = new Host('operator', [], session)
  const begun = performance.now()
  const phases: Phase[] = []
  let passphrases: string[] = []

  const timed: Timed = async (name, work) => {
    const start = performance.now()
    const value = await session.step(name, work)
    phases.push({ name, seconds: (performance.now() - start) / 1000 })
    return value
  }

  const place = await timed('look where the server is', () => look())
  const provisioned =
    place === 'encrypted' || (place === 'prompt' && (await promptIsPinned(session, flags.env, env)))
  if (!provisioned || flags['start-over']) await prepare()
  if (!session.dryRun) await finish()

  // ---

  /** A server that is on and silent may be starting. */
  async function look(): Promise<Place> {
    const off = api && (await findServer(api)).status === 'off'
    return placeOf(flags.env, env, session, off || session.dryRun ? 0 : 60)
  }

  /** From whatever runs there to a server that starts from its encrypted disk. */
  async function prepare(): Promise<void> {
    await timed('look for a place of the header backup', () =>
      checkHeaderBackups(here, session, flags.env, env),
    )
    if (place !== 'rescue') {
      const start = `${[env.HCLOUD_SERVER, env.SERVER_HOST].filter(Boolean).join(', ')} is reset and starts its rescue system. Nothing is written to a disk yet.`
      await session.confirm(wish.serial, start, flags.confirm)
      await timed('rescue on', async () => {
        if (api) return intoRescue(api, keys)
        for (const line of consoleSteps(env.SERVER_HOST, 'rescue')) session.say(line)
      })
    }
    const host = await timed('wait for the rescue system', () =>
      rescueHost(flags.env, env, session, api || place === 'rescue' ? 600 : 1800),
    )
    await aloneInRescue(host, session, () => provision(host))
    await timed('start from the disk', () => (api ? bootFromDisk(api) : restart(host, session)))
    await leave(host)
  }

  async function provision(host: Host): Promise<void> {
    const facts = await timed('preflight', () => preflight(host, session, wish, place === 'rescue'))
    const kept = flags.preserve ? keptLayout(facts) : undefined
    const stage = kept || flags['start-over'] ? 'blank' : stageOf(facts)
    for (const line of holdings(facts)) session.say(`  ${line}`)
    const label = flags['backup-attested'] ?? ''
    const attested = kept && (await checkAttested(here, session, flags.env, env, label))
    const asked = await askPassphrases()
    const which = `${wish.disk} of ${env.SERVER_HOST}, serial ${wish.serial}`
    const text = kept
      ? `The system on ${which} is encrypted where it lies. What fails on the way there costs it, but for ${attested}.`
      : stage === 'blank'
        ? `Everything on ${which} is lost now.`
        : `An earlier call is gone on with: ${which}.`
    await session.confirm(wish.serial, text, flags.confirm)

    // --- point of no return ---

    const layout = kept ?? layoutOf(wish.disk)
    const system = systemOf(flags, env, custodians, keys, facts.screen)
    const about = { layout, custodians, passphrases: asked, cost: costOf(env), system }
    const to = { host, here, session, timed, envFile: flags.env, env, ...about }
    const done = kept ? await preserve(to, kept) : await wipe(to, stage, facts.disk?.size ?? 0, wish.archive)
    await makeReady(to, done)
    await timed('close the disk', () => closeRoot(host, session))
  }

  async function askPassphrases(): Promise<string[]> {
    if (passphrases.length > 0) return passphrases
    const asked: string[] = []
    for (const { name } of custodians)
      asked.push(await askSecret(session, `passphrase of ${name}`, { twice: true }))
    refuseMoreLines()
    if (!session.dryRun) checkPassphrases(custodians, asked)
    passphrases = asked
    return asked
  }

  /** Each custodian unlocks once, after a start of their own; then the report. */
  async function finish(): Promise<void> {
    const runs = place === 'encrypted' && !flags['start-over']
    const tests = { envFile: flags.env, env, session, timed, custodians, askPassphrases }
    const sure = (text: string) => session.confirm(wish.serial, text, flags.confirm)
    const server = await testCustodians(tests, sure, runs ? await system(flags.env, env, session) : undefined)
    await backUpIfMissing({ host: server, here, session, timed, envFile: flags.env, env })
    await report(server)
  }

  async function report(server: Host): Promise<void> {
    const [found, tested] = [await diskReport(server), await testedBy(server)]
    const seconds = Math.round((performance.now() - begun) / 100) / 10
    const about = { luks: found.header.uuid, tested: tested.join(', ') }
    await audit(server, { action: 'provision-luks', outcome: 'done', seconds, about })
    if (flags.json)
      session.result(JSON.stringify({ server: env.SERVER_HOST, tested, ...found, phases, seconds }))
    else for (const line of reportLines(found, phases)) session.result(line)
    const missing = custodians.filter(({ name }) => !tested.includes(name)).map(({ name }) => name)
    if (missing.length > 0)
      throw new Fail(
        'unverified',
        `${missing.join(', ')} have not unlocked this server yet: load their keys (ssh-add) and run this again`,
      )
  }
})
