import { attempt } from './exclusive.ts'
import type { Host } from './host.ts'
import { paths } from './paths.ts'
import type { Session } from './session.ts'
import { lines, sh } from './sh.ts'
import { leftOut } from './shipping.ts'
import { type Box, boxShell } from './storagebox.ts'

/**
 * The files of the repository whose content on the Storage Box is not the one on the server: both read all of theirs, and
 * send each other checksums. A file that is only on one side is none of them. Which side is the damaged one tells
 * `backup verify`.
 */
export async function differingOnBox(server: Host, session: Session, box: Box): Promise<string[]> {
  const ssh = box.ssh.slice(0, -1).join(' ')
  const exclude = leftOut.map((name) => `--exclude=${name}`)
  const options = '--recursive --dry-run --checksum --itemize-changes --timeout=3600'.split(' ')
  const compare = sh`cd ${paths.repository}
code=0
found=$(rsync ${options} ${exclude} -e ${ssh} archive backup ${`${box.account}:${box.dir}/repository/`} 2> /dev/null) || code=$?
# 24: what vanished meanwhile was no difference.
if [ "$code" -ne 0 ] && [ "$code" -ne 24 ]; then box ls ${box.dir} > /dev/null; echo "rsync ended with $code" >&2; exit 1; fi
sed -n 's/^<fc[^ ]* //p' <<< "$found"`
  const text = await attempt(server, session, lines(boxShell(box), compare), { changes: false })
  return text.split('\n').filter((line) => line !== '')
}
