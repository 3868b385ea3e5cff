import { $, type ProcessPromise } from 'zx'

/**
 * Runs a command on this machine with nothing on stdin. zx leaves stdin open, even for `input: ''`, and a program that
 * reads it would then wait for ever.
 */
export function local(pieces: TemplateStringsArray, ...args: unknown[]): ProcessPromise {
  return $({ stdio: ['ignore', 'pipe', 'pipe'] })(pieces, ...(args as string[]))
}
