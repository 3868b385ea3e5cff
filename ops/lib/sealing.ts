import { recipients, serverBackup } from './backup-files.ts'
import type { Picked } from './env.ts'
import { exclusive } from './exclusive.ts'
import { Fail } from './fail.ts'
import { type Manifest, parseRows, type Shelf, shelves } from './manifest.ts'
import { paths } from './paths.ts'
import { roomShell } from './room.ts'
import { lines, type Script, sh } from './sh.ts'

type Keys = Picked<'BACKUP_GPG_RECIPIENTS'>

/** argv of gpg for making a backup: AES256, no second compression, a key ring of its own that is thrown away. */
export function encrypt(env: Keys): string[] {
  const keys = recipients(env)
  const to =
    keys.length > 0
      ? ['--encrypt', '--trust-model', 'always', ...keys.flatMap((key) => ['--recipient-file', key])]
      : ['--symmetric', '--pinentry-mode', 'loopback', '--passphrase-file', serverBackup.passphrase]
  return 'gpg --batch --no-tty --quiet --no-options -z 0 --cipher-algo AES256'.split(' ').concat(to)
}

/**
 * Makes LABEL.part on a shelf of the server: the shelf's files, encrypted as they come, no plaintext on any disk. Prints
 * facts, one a line. A failure leaves nothing; what a killed run left is removed first. The disk's reserve is left alone.
 * @param fill a script that writes the files into `$part`, given the way to encrypt; `$work` is a folder in memory
 */
export function partScript(env: Keys, where: Shelf, label: string, fill: (gpg: Script) => Script): Script {
  const keys = recipients(env)
  const needed = keys.length > 0 ? keys : [serverBackup.passphrase]
  const begin = sh`for file in ${needed}; do [ -r "$file" ] || { echo "$file is missing: bootstrap puts it there" >&2; exit 1; }; done
mkdir -p ${paths[where]}
cd ${paths[where]}
work=/run/everyskill-backup part=${`${label}.part`}
rm -rf -- ./*.part "$work"
# As large as the last one: what it grew by the reserve can bear.
last=$(find . -mindepth 1 -maxdepth 1 -name '*Z' | LC_ALL=C sort | tail -n 1)
room ${paths[where]} "$(if [ -n "$last" ]; then du -sB1 "$last" | cut -f 1; else echo 0; fi)"
mkdir "$work" "$part"
export GNUPGHOME="$work"
code=0 reader=''
trap 'code=$?; [ -z "$reader" ] || kill "$reader" 2> /dev/null || true; rm -rf "$work"; [ "$code" -eq 0 ] || rm -rf "$part"' EXIT
trap 'exit 143' TERM INT HUP`
  const facts = sh`for file in ${shelves[where]}; do
  printf "file\\t%s\\t%s\\t%s\\n" "$file" "$(stat -c %s "$part/$file")" "$(sha256sum < "$part/$file" | cut -d " " -f 1)"
done
release=$(cat ${`${paths.releases}/current`} 2> /dev/null || true)
printf "release\\t%s\\n" "$release"`
  return exclusive(lines(roomShell(), begin, fill(sh`${encrypt(env)} 8>&-`), facts, ...keys.map(fingerprint)))
}

function fingerprint(key: string): Script {
  return sh`gpg --batch --no-options --with-colons --show-keys ${key} 8>&- 2> /dev/null | awk -F : '$1 == "fpr" { print "key\\t" $10; exit }'`
}

/** The manifest of what `partScript` made, from the facts that it printed. */
export function manifestOf(
  facts: string,
  known: Pick<Manifest, 'label' | 'shelf' | 'createdAt' | 'tool'>,
): Manifest {
  const all = facts.split('\n').map((line) => line.split('\t'))
  const value = (name: string) => all.find(([head]) => head === name)?.[1] || null
  const file = (name: string) => {
    const [, , bytes, sha256] = all.find(([head, second]) => head === 'file' && second === name) ?? []
    if (!bytes || !sha256) throw new Fail('failed', `the backup told nothing about ${name}`)
    return [name, { bytes: Number(bytes), sha256 }] as const
  }
  return {
    format: 1,
    ...known,
    files: Object.fromEntries(shelves[known.shelf].map(file)),
    rows: parseRows(all.filter(([head]) => head === 'rows').map((row) => row.slice(1).join('\t'))),
    postgres: value('postgres'),
    pgvector: value('pgvector'),
    release: value('release'),
    recipients: all.filter(([head]) => head === 'key').map((row) => row[1] ?? ''),
  }
}

/** Makes LABEL.part a backup: the manifest (on stdin) beside the files, all of it on the disk, then the name. */
export function sealScript(where: Shelf, label: string): Script {
  return exclusive(sh`cd ${paths[where]}
part=${`${label}.part`} final=${label}
cat > "$part/manifest.json"
sync "$part"/* "$part"
mv -T "$part" "$final"
sync .`)
}

/** Throws an unfinished LABEL.part away. */
export function discardScript(where: Shelf, label: string): Script {
  return exclusive(sh`rm -rf -- ${`${paths[where]}/${label}.part`}`)
}
