import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { DrillRecord } from './evidence.ts'
import { attempt, exclusive } from './exclusive.ts'
import { Fail } from './fail.ts'
import { mapped } from './header.ts'
import type { HeaderBackupEnv } from './header-manifest.ts'
import type { Host } from './host.ts'
import { giveSlots } from './luks-format.ts'
import { type Manifest, parseManifest, summary, total } from './manifest.ts'
import { openRoot } from './new-root.ts'
import type { KeptLayout } from './preserve-layout.ts'
import { beginScript, copyBootScript, cutScript, goOnScript, shrinkScript } from './preserve-steps.ts'
import { privateDir } from './private-dir.ts'
import { pull } from './pull.ts'
import type { Session } from './session.ts'
import { lines, type Script, sh } from './sh.ts'
import { boxFolder, boxShell, ownBox } from './storagebox.ts'
import type { Provisioning } from './wiping.ts'

/**
 * Refuses without a whole dump on the Storage Box: a disk that fails half way takes the system with it.
 * @param label what was given as `--backup-attested`
 * @returns the dump in words, and which drill restored it, or that none did
 * @throws Fail `refused` when there is none, or an empty one; `unverified` when it is not what its manifest says
 */
export async function checkAttested(
  here: Host,
  session: Session,
  envFile: string,
  env: HeaderBackupEnv,
  label: string,
): Promise<string> {
  const root = ownBox(envFile, env)
  const { dir } = boxFolder(root, 'dumps')
  const ask = (script: Script) =>
    attempt(here, session, lines(boxShell(root), pull(root), script), { changes: false })
  const no = (why: string) =>
    new Fail(
      'refused',
      `--backup-attested ${label}: ${why}. Make one with ops/backup.ts, prove it with ops/restore-dump.ts, and name it`,
    )
  const told = `${dir}/${label}/manifest.json`
  const text = await ask(sh`if has ${told}; then box cat ${told}; fi`)
  if (text === '') throw no(`the Storage Box has no such dump in ${dir}`)
  const manifest = parseManifest(text, label, 'Storage Box')
  const { shelf, files, rows } = manifest
  if (shelf !== 'dumps') throw no(`what the Storage Box has in ${dir} under this name is no dump`)
  if (total(rows) === 0 || Object.values(files).some(({ bytes }) => bytes === 0))
    throw no('this dump is empty')
  const names = Object.keys(files)
  const sums = await ask(sh`box sha256sum ${names.map((name) => `${dir}/${label}/${name}`)} || true`)
  const bad = names.find((name) => !sums.includes(`${files[name]?.sha256}  ${dir}/${label}/${name}`))
  if (bad) throw new Fail('unverified', `${bad} of ${label} on the Storage Box is not what its manifest says`)
  const evidence = privateDir(session)
  const from = `${root.dir}/evidence`
  await ask(
    sh`if has ${from}; then pull '--include=*.json' '--exclude=*' ${`${root.account}:${from}/`} ${evidence}/; fi`,
  )
  const drill = drillIn(evidence, manifest)
  const proof = drill
    ? `drill ${drill.seq} of ${drill.started_at.slice(0, 10)} restored it`
    : 'no drill among the evidence on the Storage Box restored it'
  session.say(`  ${summary(manifest)}; ${proof}`)
  return `${summary(manifest)}; ${proof}`
}

/** The newest record in a folder of a drill that restored exactly this dump. */
function drillIn(folder: string, { label, files }: Manifest): DrillRecord | undefined {
  const records = readdirSync(folder)
    .sort()
    .flatMap((name): DrillRecord[] => {
      try {
        return [JSON.parse(readFileSync(join(folder, name), 'utf8'))]
      } catch {
        return []
      }
    })
  const same = ({ inputs }: DrillRecord) =>
    inputs?.backup === label &&
    Object.entries(files).every(([name, { sha256 }]) => inputs[`${name}_sha256`] === sha256)
  return records.filter((one) => one?.type === 'dump_drill' && one.result === 'pass' && same(one)).at(-1)
}

/**
 * Encrypts the system that is there where it lies, each step only after the one before was judged. Interrupted in any of
 * them, also by a power cut, the same call goes on.
 * @returns the phases that are done in the system
 */
export async function preserve(to: Provisioning, layout: KeptLayout): Promise<string[]> {
  const { host, session, timed, custodians, passphrases, cost } = to
  const [first = ''] = passphrases
  const reached = (['plain', 'cut', 'copied', 'encrypting'] as const).indexOf(layout.stage)
  const run = (script: Script, timeout: number, input?: string) =>
    attempt(host, session, exclusive(script, 'provision'), { timeout, ...(input && { input }) })
  if (reached < 1) {
    await timed('shrink the file system', () => run(shrinkScript(layout), 6 * 3600))
    await timed('cut the partition', () => run(cutScript(layout), 3600))
  }
  if (reached < 2) await timed('copy /boot', () => run(copyBootScript(layout), 3600))
  if (reached < 3) await timed('begin to encrypt', () => run(beginScript(layout, cost), 600, first))
  await timed('encrypt', () => run(goOnScript(layout.luks), 0, first))
  await timed('key slots', () => giveSlots(host, session, layout.luks, custodians, passphrases, cost))
  const done = await timed('open', () => openRoot(host, session, layout, first))
  await timed('grow the file system', () => run(sh`resize2fs ${`/dev/mapper/${mapped}`} > /dev/null`, 3600))
  return done
}
