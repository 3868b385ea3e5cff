import { containerName } from './containers.ts'
import { $, text } from './shell.ts'

/** What is looked for, by name: text, or bytes without line ends and NULs. */
export type Needles = Record<string, string | Buffer>
/** A needle's name and the file that holds it. */
export type Found = { name: string; file: string }

/**
 * bash: reads needles as printf escapes from stdin, one a line, and searches every file below the folders given. They are
 * never in argv, in the environment or on a disk. Folders that start with `!` are left out.
 */
const script = `export LC_ALL=C
mapfile -t needles
below=() skip=()
for path in "$@"; do case "$path" in !*) skip+=(-o -path "\${path#!}") ;; *) below+=("$path") ;; esac; done
mapfile -d '' -t files < <(find "\${below[@]}" \\( -false "\${skip[@]}" \\) -prune -o -type f -print0 2> /dev/null)
echo "\${#files[@]}"
patterns() { local one; for one in "$@"; do printf "$one\\n"; done; }
hits=()
for ((i = 0; i < \${#files[@]}; i += 1000)); do
  mapfile -d '' -t -O \${#hits[@]} hits < <(grep -slaZF -f <(patterns "\${needles[@]}") -- "\${files[@]:i:1000}")
done
[ \${#hits[@]} -eq 0 ] || for ((i = 0; i < \${#needles[@]}; i++)); do
  grep -slaF -f <(patterns "\${needles[i]}") -- "\${hits[@]}" | sed "s/^/$i\\t/"
done || true`

/**
 * Which files hold a needle, on one of the lab's machines or on this one. Compressed files are not looked into.
 * @param machine its name; undefined for this machine, the operator's
 * @param paths folders and files; `!PATTERN` leaves out what matches (as find's -path)
 */
export async function search(
  machine: string | undefined,
  paths: string[],
  needles: Needles,
): Promise<{ files: number; found: Found[] }> {
  const names = Object.keys(needles)
  const input = names.map((name) => `${escaped(needles[name] ?? '')}\n`).join('')
  const there = machine ? ['docker', 'exec', '-i', containerName(machine)] : []
  const argv = [...there, 'bash', '-uo', 'pipefail', '-c', script, 'search', ...paths]
  const [files = '0', ...lines] = (await text($({ input, timeout: '120s' })`${argv}`)).split('\n')
  const found = lines.filter(Boolean).map((line) => {
    const [i = '', file = ''] = line.split('\t')
    return { name: names[Number(i)] ?? '?', file }
  })
  return { files: Number(files), found }
}

/** The bytes as `\x41\x42…`, which printf turns back. */
function escaped(needle: string | Buffer): string {
  const bytes = Buffer.from(needle)
  if (bytes.length < 8 || bytes.includes(0) || bytes.includes(10))
    throw new Error('not fit to be searched for')
  return [...bytes].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')
}

/**
 * Which of some files a user without any rights can read.
 * @param machine its name; undefined for this machine
 */
export async function readableByOthers(machine: string | undefined, files: string[]): Promise<string[]> {
  const there = machine ? ['docker', 'exec', containerName(machine)] : []
  const nobody = 'setpriv --reuid 65534 --regid 65534 --clear-groups head -c 1 -- "$file"'
  const each = `for file; do ! ${nobody} > /dev/null 2>&1 || echo "$file"; done`
  return (await text($`${[...there, 'bash', '-c', each, 'read', ...files]}`)).split('\n').filter(Boolean)
}
