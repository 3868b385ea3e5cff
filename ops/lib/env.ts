import { existsSync, readFileSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, resolve } from 'node:path'
import { parse } from 'dotenv'
import * as v from 'valibot'
import { Fail } from './fail.ts'
import { type Env, type Name, names, schema } from './names.ts'
import { isSecret } from './places.ts'
import { keepSecret } from './redact.ts'

/** The names a script asked for: those with a default or a value it demands are there, optional ones may be undefined. */
export type Picked<K extends Name> = Pick<Env, K>

/**
 * Reads a `.env` file and checks the names that the caller needs, and only those, against the schema.
 * The file alone counts: a stray variable in the operator's shell changes nothing. Secrets are registered for redaction.
 * @param file path of the `.env`; relative paths inside it are relative to its folder
 * @throws Fail `usage` with every problem in one message: the name, what is wrong, how to mend it. No value is quoted.
 */
export function readEnv<K extends Name>(file: string, wanted: readonly K[]): Picked<K> {
  const text = readText(file)
  const values = parse(text)
  for (const [name, value] of Object.entries(values)) if (isSecret(name)) keepSecret(name, value)
  const given = Object.fromEntries(Object.entries(values).filter(([, value]) => value !== ''))
  const result = v.safeParse(v.pick(schema, wanted as never), given)
  const problems = [
    ...badLines(text),
    ...unknownNames(values),
    ...derivedNames(given),
    ...(result.issues ?? []).map(describe),
  ]
  if (problems.length > 0) throw new Fail('usage', `${file}:\n${problems.map((p) => `  ${p}`).join('\n')}`)
  return result.output as Picked<K>
}

/** Every secret that a `.env` file gives a value, by name; for checks that look for leaks. Demands none of them. */
export function secretsIn(file: string): Record<string, string> {
  const secrets = Object.entries(parse(readText(file))).filter(
    ([name, value]) => isSecret(name) && value !== '',
  )
  for (const [name, value] of secrets) keepSecret(name, value)
  return Object.fromEntries(secrets)
}

/**
 * The absolute path of a file that a `.env` names.
 * @throws Fail `usage` when there is none
 */
export function fileIn(envFile: string, name: Name, path: string): string {
  const file = pathIn(envFile, path)
  if (!existsSync(file)) throw new Fail('usage', `${envFile}:\n  ${name} names ${file}, which does not exist`)
  return file
}

/** The content of a file that a `.env` names. @throws Fail `usage` when it cannot be read */
export function textIn(envFile: string, name: Name, path: string): string {
  try {
    return readFileSync(pathIn(envFile, path), 'utf8')
  } catch {
    throw new Fail('usage', `${envFile}:\n  ${name} names ${pathIn(envFile, path)}, which cannot be read`)
  }
}

/** The absolute form of a path that stands in a `.env` file; `~/` is the operator's home. */
export function pathIn(envFile: string, path: string): string {
  return resolve(dirname(resolve(envFile)), path.replace(/^~(?=\/)/, homedir()))
}

function readText(file: string): string {
  let mode: number
  try {
    mode = statSync(file).mode
  } catch {
    throw new Fail(
      'usage',
      `${file} does not exist. Copy .env.example to it, fill it in, then: chmod 600 ${file}`,
    )
  }
  if (mode & 0o077)
    throw new Fail('usage', `${file} can be read by others and holds secrets. Run: chmod 600 ${file}`)
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new Fail('usage', `${file} cannot be read: ${(error as NodeJS.ErrnoException).code}`)
  }
}

/** dotenv skips a line that it cannot read, cuts a value at #, and lets the last of two lines win, all in silence. */
function badLines(text: string): string[] {
  const seen = new Map<string, number>()
  return text.split(/\r?\n/).flatMap((line, i) => {
    if (/^\s*(#.*)?$/.test(line)) return []
    const [, name, value] = /^\s*([A-Za-z_]\w*)=\s*(.*)$/.exec(line) ?? []
    if (name === undefined || value === undefined)
      return [`line ${i + 1} is not NAME=value; comment it out with # or mend it`]
    const before = seen.get(name)
    seen.set(name, i + 1)
    if (before) return [`${name} stands on line ${before} and again on line ${i + 1}; keep one of them`]
    if (/^[^'"`\s#][^\s#]*#/.test(value))
      return [`${name} is cut off: # starts a comment; put the value in single quotes`]
    return []
  })
}

function unknownNames(values: Record<string, string>): string[] {
  return Object.keys(values)
    .filter((name) => !(names as string[]).includes(name))
    .map((name) => `${name} is not a name this repository knows; .env.example lists them all`)
}

/** Names that are documented but never set: a script derives their values. */
function derivedNames(given: Record<string, string>): string[] {
  return names
    .filter((name) => name in given && unwrap(name).type === 'never')
    .map((name) => `${name} must not be set: ${hintOf(name)}`)
}

function describe(issue: v.BaseIssue<unknown>): string {
  const name = String(issue.path?.[0]?.key) as Name
  if (issue.received === 'undefined') return `${name} is missing: ${hintOf(name)}`
  return `${name} is malformed: expected ${hintOf(name)}`
}

/** What a good value looks like, in the schema's own words. */
export function hintOf(name: Name): string {
  return v.getDescription(unwrap(name)) ?? 'see .env.example'
}

function unwrap(name: Name): v.GenericSchema {
  const entry: v.GenericSchema = schema.entries[name]
  return 'wrapped' in entry ? (entry.wrapped as v.GenericSchema) : entry
}
