/** The documented exit codes; every script's `--help` prints them. */
export const exitCodes = {
  done: 0,
  failed: 1,
  usage: 2,
  refused: 3,
  locked: 4,
  noConnection: 5,
  unverified: 6,
  timedOut: 124,
} as const

export type Outcome = Exclude<keyof typeof exitCodes, 'done'>

/** An expected failure: what is wrong, and in the same message what mends it. It ends the script with its exit code. */
export class Fail extends Error {
  readonly outcome: Outcome

  constructor(outcome: Outcome, message: string) {
    super(message)
    this.outcome = outcome
  }

  get exitCode(): number {
    return exitCodes[this.outcome]
  }
}
