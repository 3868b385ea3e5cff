/** Values shorter than this are not hidden: they would blank out ordinary words. The env schema refuses such secrets. */
const shortest = 8

const secrets = new Map<string, string>()

/**
 * Registers a secret, so that no line this process prints can hold it.
 * Its URL-encoded and base64 forms are hidden too: that is how it travels in a connection string or a header.
 */
export function keepSecret(name: string, value: string): void {
  if (value.length < shortest) return
  for (const form of [value, encodeURIComponent(value), Buffer.from(value).toString('base64')])
    secrets.set(form, name)
}

/** The text with every registered secret replaced by `[NAME]`; the longest first, so that no tail is left standing. */
export function redact(text: string): string {
  const known = [...secrets].sort(([a], [b]) => b.length - a.length)
  return known.reduce((hidden, [value, name]) => hidden.replaceAll(value, `[${name}]`), text)
}
