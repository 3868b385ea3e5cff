/** What the database and the Storage Box were at one look. */
export interface Moment {
  /** Milliseconds. */
  at: number
  /** Where the database's WAL ends. */
  lsn: bigint
  /** Where the newest segment on the box ends. */
  box: bigint
}

/** What is kept from one look to the next. */
export interface Lag {
  /** Since when the database is known to be ahead of the box, milliseconds; undefined: the box had everything. */
  since: number | undefined
  /** The position that the box has to reach. */
  lsn: string
  /** The database was asked to close its segment, so that a quiet one has something to send. */
  asked: boolean
}

export interface Verdict {
  lag: Lag
  /** Close the segment now: what the look after this one finds is then no quiet database but a broken way. */
  ask: boolean
  /** Seconds that committed changes have not been on the box; 0: it has everything. */
  seconds: number
  /** Too old on two looks. */
  broken: boolean
}

/** Seconds that the newest change may be on the server only. */
export const limit = 120

/**
 * Judges how far the Storage Box is behind. A database that is a little ahead may just be quiet: a segment that is not full
 * leaves it only after a change. So when the box did not reach a position within the limit, the segment is closed; when it
 * has not come by the next look either, the way to the box is broken.
 */
export function judge(now: Moment, before: Lag | undefined): Verdict {
  if (now.box >= now.lsn)
    return {
      lag: { since: undefined, lsn: String(now.lsn), asked: false },
      ask: false,
      seconds: 0,
      broken: false,
    }
  // A look of the future: the clock went back, and the wait counts from here.
  const waiting = before?.since !== undefined && before.since <= now.at && BigInt(before.lsn) > now.box
  if (!waiting)
    return {
      lag: { since: now.at, lsn: String(now.lsn), asked: false },
      ask: false,
      seconds: 0,
      broken: false,
    }
  const seconds = Math.max(0, Math.round((now.at - (before.since as number)) / 1000))
  const late = seconds > limit
  const broken = late && before.asked
  return { lag: { ...before, asked: before.asked || late }, ask: late && !before.asked, seconds, broken }
}
