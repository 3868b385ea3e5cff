import { readFileSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { parse } from 'dotenv'
import * as v from 'valibot'
import { Fail } from './fail.ts'
import { type Env, isSecret, type Name, names, schema } from './names.ts'
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
  const problems = [...badLines(text), ...unknownNames(values), ...(result.issues ?? []).map(describe)]
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

/** The absolute form of a path that stands in a `.env` file. */
export function pathIn(envFile: string, path: string): string {
  return resolve(dirname(resolve(envFile)), path)
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
  return readFileSync(file, 'utf8')
}

/** dotenv skips a line that it cannot read in silence, so they are looked for here. */
function badLines(text: string): string[] {
  return text.split('\n').flatMap((line, i) => {
    if (/^\s*(#.*)?$/.test(line) || /^\s*[A-Za-z_]\w*=/.test(line)) return []
    return [`line ${i + 1} is not NAME=value; comment it out with # or mend it`]
  })
}

function unknownNames(values: Record<string, string>): string[] {
  return Object.keys(values)
    .filter((name) => !(names as string[]).includes(name))
    .map((name) => `${name} is not a name this repository knows; .env.example lists them all`)
}

function describe(issue: v.BaseIssue<unknown>): string {
  const name = String(issue.path?.[0]?.key)
  const missing = issue.received === 'undefined'
  return `${name} ${missing ? 'is missing' : 'is malformed'}: ${issue.expected && missing ? hintOf(name) : issue.message}`
}

function hintOf(name: string): string {
  const entry = schema.entries[name as Name] as v.GenericSchema
  return v.getDescription(entry) ?? 'see .env.example'
}
