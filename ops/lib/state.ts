import type { Host } from './host.ts'
import { sh } from './sh.ts'

/**
 * What an earlier run left for the next one in a JSON file on the server; undefined when there is none, or it is damaged:
 * whoever only looks must not fail on what was left.
 */
export async function stateIn<T>(server: Host, file: string): Promise<T | undefined> {
  const text = await server.read(sh`cat ${file} 2> /dev/null || true`)
  try {
    return text === '' ? undefined : (JSON.parse(text) as T)
  } catch {
    return undefined
  }
}
