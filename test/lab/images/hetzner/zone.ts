export type Value = { value: string; comment?: string }
export type RecordSet = { name: string; type: string; ttl: number | null; records: Value[] }

/** The state that the API changes and the name server answers from. */
export class Zone {
  readonly name: string
  readonly #sets = new Map<string, RecordSet>()

  constructor(name: string) {
    this.name = name
  }

  /** @param name relative to the zone, `@` for the zone itself */
  get(name: string, type: string): RecordSet | undefined {
    return this.#sets.get(`${name}|${type}`)
  }

  put(set: RecordSet): RecordSet {
    this.#sets.set(`${set.name}|${set.type}`, set)
    return set
  }

  delete(name: string, type: string): void {
    this.#sets.delete(`${name}|${type}`)
  }

  all(): RecordSet[] {
    return [...this.#sets.values()]
  }

  /** `www` for `www.ZONE`, `@` for the zone, undefined for a name outside it. */
  relative(name: string): string | undefined {
    if (name === this.name) return '@'
    return name.endsWith(`.${this.name}`) ? name.slice(0, -this.name.length - 1) : undefined
  }
}
