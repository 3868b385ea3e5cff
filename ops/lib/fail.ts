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

/**
 * Undoes what a failure left behind, then throws that failure. When the undoing fails too, its words follow the first
 * ones, which go on telling what went wrong and with which exit code.
 */
export async function undoing(failure: unknown, undo: () => Promise<unknown>): Promise<never> {
  try {
    await undo()
  } catch (second) {
    throw new Fail(
      outcomeOf(failure),
      `${words(failure)}\nWhat it left could not be undone: ${words(second)}`,
    )
  }
  throw failure
}

/** The outcome that an error stands for; `failed` when it is none of ours. */
export function outcomeOf(error: unknown): Outcome {
  return error instanceof Fail ? error.outcome : 'failed'
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
