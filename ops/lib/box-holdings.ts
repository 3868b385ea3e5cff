import { attempt, codes } from './exclusive.ts'
import type { Host } from './host.ts'
import { isPhysical, stanza } from './pgbackrest.ts'
import type { Session } from './session.ts'
import { lines, sh } from './sh.ts'
import { type Box, boxShell } from './storagebox.ts'

/**
 * What lies on the box: its physical backups, the folders of the WAL with the second they were last changed, and the
 * halves that a prune left which was cut short (their paths).
 */
export async function boxHoldings(
  here: Host,
  session: Session,
  box: Box,
): Promise<{
  sets: string[]
  archive: string
  folders: { name: string; changed: Date }[]
  halves: string[]
}> {
  const [backup, archive] = ['backup', 'archive'].map((name) => `${box.dir}/repository/${name}/${stanza}`)
  const text = await attempt(
    here,
    session,
    lines(
      boxShell(box),
      sh`export LC_ALL=C
ask() { box "$@" || { code=$?; if [ "$code" -eq ${codes.noConnection} ]; then exit "$code"; fi; }; }
ask ls ${backup as string} | sed "s/^/set\\t/"
id=$(ask ls ${archive as string} | grep -E '^[0-9]+-[0-9]+$' | sort -t - -k 2 -n | tail -n 1 || true)
if [ -z "$id" ]; then exit 0; fi
printf "archive\\t%s\\n" "$id"
folders=$(ask ls ${`${archive}/`}"$id" | grep -E '^[0-9A-F]{16}([.]part)?$' || true)
for name in $folders; do changed=$(ask stat -c %Y ${`${archive}/`}"$id/$name"); printf "wal\\t%s\\t%s\\n" "$name" "$changed"; done`,
    ),
    { changes: false },
  )
  const rows = text.split('\n').map((line) => line.split('\t'))
  const id = rows.find(([head]) => head === 'archive')?.[1]
  const of = (kind: string) => rows.filter(([head]) => head === kind)
  const sets = of('set').map(([, name = '']) => name)
  const folders = of('wal').map(([, name = '', changed]) => ({
    name,
    changed: new Date(Number(changed) * 1000),
  }))
  const half = (name: string) => name.endsWith('.part')
  return {
    sets: sets.filter(isPhysical),
    archive: `${archive}/${id}`,
    folders: folders.filter(({ name }) => !half(name)),
    halves: [
      ...sets
        .filter((name) => half(name) && isPhysical(name.slice(0, -5)))
        .map((name) => `${backup}/${name}`),
      ...folders.filter(({ name }) => half(name)).map(({ name }) => `${archive}/${id}/${name}`),
    ],
  }
}
