/** Time limits and honest errors for tests. */
import { inspect } from 'node:util'

/**
 * Runs work under a time limit. The signal that it is given is aborted when the time is up.
 * @param ms limit in milliseconds
 * @param what names the work in the error
 * @throws what the work throws, made an Error, or an error that says that the limit has passed
 */
export async function within(
  ms: number,
  what: string,
  work: (context: { signal: AbortSignal }) => unknown,
): Promise<void> {
  const limit = new AbortController()
  let timer: NodeJS.Timeout | undefined
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const error = new Error(`${what} took longer than its limit of ${ms / 1000} s`)
      limit.abort(error)
      reject(error)
    }, ms)
  })
  try {
    await Promise.race([expired, (async () => work({ signal: limit.signal }))()])
  } catch (thrown) {
    throw toError(what, thrown)
  } finally {
    clearTimeout(timer)
  }
}

/** An Error for whatever was thrown: uvu dies of anything else and then ends with exit code 0. */
export function toError(what: string, thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(`${what} threw ${inspect(thrown)}`)
}

/**
 * Asserts that work fails.
 * @returns the error, for closer looks
 * @throws when the work succeeds or its message does not match
 */
export async function rejects(work: () => unknown, message: RegExp): Promise<Error> {
  let caught: Error | undefined
  try {
    await work()
  } catch (thrown) {
    caught = toError('the work', thrown)
  }
  if (!caught) throw new Error(`expected a failure that matches ${message}, but it succeeded`)
  if (!message.test(caught.message)) {
    throw new Error(`expected a failure that matches ${message}, got: ${caught.message}`, { cause: caught })
  }
  return caught
}
