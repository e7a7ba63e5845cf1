// What identifies an event. A bare LSN does not: all rows of one COPY share one, and a COMMIT shares its LSN with
// the BEGIN that follows it.
import { formatLsn, type Lsn, parseLsn } from "./lsn.ts";

/** The source transaction's commit LSN and the 1-based ordinal of the event in it, within one epoch of a stream. */
export interface Position {
  readonly epoch: number;
  readonly commitLsn: Lsn;
  readonly index: number;
}

/** `1:0/16B3748:3`: epoch, commit LSN and index. */
export const formatPosition = ({ epoch, commitLsn, index }: Position): string =>
  `${epoch}:${formatLsn(commitLsn)}:${index}`;

/** Null for anything that `formatPosition` does not write. */
export function parsePosition(text: string): Position | null {
  const match = /^([1-9]\d{0,8}):([0-9A-F]{1,8}\/[0-9A-F]{1,8}):([1-9]\d{0,14})$/i.exec(text);
  return match === null
    ? null
    : { epoch: Number(match[1]), commitLsn: parseLsn(match[2]!.toUpperCase()), index: Number(match[3]) };
}

/**
 * Negative, zero or positive, as `a` stands before, at or after `b`.
 * Throws RangeError for different epochs: their LSNs come from different slots and have no order.
 */
export function comparePositions(a: Position, b: Position): number {
  if (a.epoch !== b.epoch) {
    throw new RangeError(`Positions of epoch ${a.epoch} and ${b.epoch} can't be compared.`);
  }
  if (a.commitLsn !== b.commitLsn) {
    return a.commitLsn < b.commitLsn ? -1 : 1;
  }
  return a.index - b.index;
}
