/**
 * What runs, which release, how long the certificate lasts, how old the last backup is, how full the disk is.
 * Read-only. Exit code 1 when something is wrong, so that a cron line or a monitor can call it.
 */
import type { PeerCertificate } from 'node:tls'
import { lastWatch, type Watch } from './lib/alerting.ts'
import { type Call, main } from './lib/cli.ts'
import { liveColours } from './lib/colours.ts'
import { readEnv } from './lib/env.ts'
import { Fail } from './lib/fail.ts'
import { type Host, hostNames, serverOf } from './lib/host.ts'
import { firstToExpire } from './lib/recipients.ts'
import { lines, sh } from './lib/sh.ts'
import { below, daysLeft, get, siteNames, siteOf } from './lib/site.ts'
import { shaOf, stackImages } from './lib/stack.ts'
import { apiNames, boxApi, unprotected } from './lib/storagebox-api.ts'

const help = `
ops/status.ts: what is running, which release, how old the backups are

Changes nothing. Ends with 1 when something needs a person: a service that is not
healthy, no live colour, a site that answers with an error, a certificate (the
domain's or the wildcard's) under 21 days, whatever "backup status" found, a backup
key that expires within 60 days, a disk over 85 % full.

  tsx ops/status.ts

  --json          the report as one JSON document
`

const options = { json: { type: 'boolean' } } as const
const wanted = [...hostNames, ...siteNames, ...apiNames] as const
const limits = { certificateDays: 21, watchMinutes: 10, backupKeyDays: 60, diskPercent: 85 }

interface Report {
  server: string
  live: { colour: string; sha: string } | null
  services: Record<string, string>
  /** The HTTP status of the front page, asked over HTTPS; null when there is no valid answer. */
  answers: number | null
  /** Of the domain's and the wildcard's the one that ends first; null when one of them is not served. */
  certificate: { name: string; days: number } | null
  /** What the last look at the backups found; null: nobody looked. */
  backups: Watch | null
  /** The first key of the backups to expire. */
  backupKey: { fingerprint: string; expires: Date } | null
  /** What the Storage Box lacks against a thief of the server; null: not asked, for there is no token here. */
  unprotected: string[] | null
  diskPercent: number
  problems: string[]
}

await main({ help, options }, async ({ flags, session }: Call<typeof options>) => {
  const env = readEnv(flags.env, wanted)
  const server = serverOf(flags.env, env, session)
  const site = siteOf(flags.env, env)
  const [[colour], images, services, backups, backupKey, diskPercent] = await Promise.all([
    liveColours(server),
    stackImages(server),
    servicesOf(server),
    lastWatch(server),
    firstToExpire(server),
    server.read(sh`df -P / | awk 'END { sub("%", "", $5); print $5 }'`).then(Number),
  ])
  const api = boxApi(flags.env, env, session)
  const [answer, tenant] = await Promise.all(
    [site, below(site)].map((one) => get(one, '/').catch(() => undefined)),
  )
  const report: Report = {
    server: server.name,
    live: colour ? { colour, sha: shaOf(images, colour) } : null,
    services,
    answers: answer?.status ?? null,
    certificate: answer && tenant ? firstToEnd([answer.certificate, tenant.certificate]) : null,
    backups: backups ?? null,
    backupKey,
    // Hetzner's console may be down just when a person asks how the server is.
    unprotected: api ? await unprotected(api).catch((error: Error) => [error.message]) : null,
    diskPercent,
    problems: [],
  }
  report.problems = problemsOf(report)
  session.result(flags.json ? JSON.stringify(report, null, 2) : text(report))
  if (report.problems.length > 0) throw new Fail('failed', report.problems.join('\n'))
})

function firstToEnd(certificates: PeerCertificate[]): Report['certificate'] {
  const all = certificates.map((one) => ({ name: one.subjectaltname ?? '', days: daysLeft(one) }))
  return all.sort((a, b) => a.days - b.days)[0] ?? null
}

async function servicesOf(server: Host): Promise<Record<string, string>> {
  const format = '{{.Label "com.docker.compose.service"}}\t{{.Status}}'
  const rows = await server.read(
    lines(
      sh`docker ps -a --filter label=com.docker.compose.project=everyskill --filter label=com.docker.compose.oneoff=False --format ${format}`,
    ),
  )
  return Object.fromEntries(
    rows
      .split('\n')
      .filter((row) => row !== '')
      .map((row) => row.split('\t') as [string, string]),
  )
}

function problemsOf(report: Report): string[] {
  const { live, services, answers, certificate, backups, backupKey, diskPercent } = report
  const wanted = ['caddy', 'postgres', ...(live ? [`web-${live.colour}`] : [])]
  return [
    ...(live ? [] : ['nothing is deployed: tsx ops/deploy.ts']),
    ...wanted
      .filter((name) => !services[name]?.includes('(healthy)'))
      .map((name) => `${name} is ${services[name] ?? 'not there'}`),
    ...(answers === null ? ['the site does not answer over valid HTTPS'] : []),
    ...(answers !== null && !certificate
      ? ['names below the domain do not answer over valid HTTPS: docker logs of caddy say why']
      : []),
    ...(answers && answers >= 400 ? [`the site answers ${answers}`] : []),
    ...(certificate && certificate.days < limits.certificateDays
      ? [`the certificate ends in ${certificate.days} days: docker logs of caddy say why it is not renewed`]
      : []),
    ...watchProblems(backups),
    ...(report.unprotected ?? []),
    ...(backupKey && backupKey.expires.getTime() - Date.now() < limits.backupKeyDays * 86_400_000
      ? [
          `the backup key ${backupKey.fingerprint} expires on ${backupKey.expires.toISOString().slice(0, 10)}, and backups stop then: gpg --quick-set-expire ${backupKey.fingerprint} never; export it; tsx ops/bootstrap.ts`,
        ]
      : []),
    ...(diskPercent > limits.diskPercent ? [`the disk is ${diskPercent} % full`] : []),
  ]
}

function watchProblems(watch: Watch | null): string[] {
  if (!watch) return ['nobody looked at the backups yet: tsx ops/backup.ts status --alert (cron does)']
  const minutes = (Date.now() - Date.parse(watch.at)) / 60_000
  return [
    ...(minutes > limits.watchMinutes
      ? [`nobody has looked at the backups for ${Math.round(minutes)} minutes: does cron run on the server?`]
      : []),
    ...watch.problems,
    ...(watch.undelivered ? [`an alert was not delivered: ${watch.undelivered}`] : []),
  ]
}

function text(report: Report): string {
  const rows = {
    server: report.server,
    live: report.live ? `${report.live.sha} (${report.live.colour})` : 'nothing',
    ...Object.fromEntries(Object.entries(report.services).sort()),
    certificate: report.certificate ? `${report.certificate.days} days, ${report.certificate.name}` : 'none',
    backups: report.backups?.problems.length === 0 ? `good, looked at ${report.backups.at}` : 'see below',
    disk: `${report.diskPercent} % full`,
  }
  return Object.entries(rows)
    .map(([name, value]) => `${name.padEnd(12)} ${value}`)
    .join('\n')
}
