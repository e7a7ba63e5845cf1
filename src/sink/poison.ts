// An event that can't be published as it is: named by its position, so that an operator can mend it or leave it out.
import { AfterimageError } from "../errors.ts";
import { isUndecodable } from "../event/column-value.ts";
import type { RowChange } from "../event/envelope.ts";
import { parseLsn } from "../event/lsn.ts";
import { formatPosition, type Position } from "../event/position.ts";
import type { RowValues } from "../event/row-encoder.ts";
import type { RecordTooLarge } from "../kafka/errors.ts";
import type { EncodableChange, EncodedEvent } from "./encode-event.ts";

/** What an event is of: a table; or it is a message with that prefix. */
export type PoisonOf =
  | { readonly table: string; readonly prefix?: never }
  | { readonly table: null; readonly prefix: string };

/** The stream halts at `position`; a row that a snapshot read has none. */
export class PoisonEvent extends AfterimageError {
  readonly of: PoisonOf;
  readonly position: Position | null;

  constructor({ code, message, advice }: AfterimageError, of: PoisonOf, position: Position | null) {
    super(
      code,
      position === null
        ? `${message} It is a row of ${of.table} that a snapshot read.`
        : `${message} It is the ${of.table === null ? "message" : "event"} at position ${formatPosition(position)}, ${describe(of)}.`,
      position === null
        ? `${advice} Or make the row smaller, or delete it: it is read again then.`
        : `${advice} Or leave the ${of.table === null ? "message" : "event"} out, which every reader is told: afterimage skip ${formatPosition(position)} --reason "…".`,
    );
    this.of = of;
    this.position = position;
  }
}

const describe = ({ table, prefix }: PoisonOf): string =>
  table === null ? `with prefix ${JSON.stringify(prefix)}` : `of ${table}`;

/** The error of a batch's record, with what it is; as it was when it is no event. */
export function asPoison(error: RecordTooLarge, events: readonly EncodedEvent[]): AfterimageError {
  const event = events.find((each) => each === error.record);
  if (event === undefined) {
    return error;
  }
  const { epoch, lsn, index } = JSON.parse(event.value).transaction;
  const position = index === 0 ? null : { epoch, commitLsn: parseLsn(lsn), index };
  const { encoder, key } = event;
  return new PoisonEvent(
    error,
    encoder === null ? { table: null, prefix: key ?? "" } : { table: encoder.schema.table },
    position,
  );
}

/**
 * Throws when the event's own values hold bytes that are not UTF-8. Of a key change whose new key does, the second half is
 * the one to be left out: the first stands alone then.
 */
export function refuseUndecodable({ table, change, transaction, index, undecodable }: EncodableChange): void {
  if (undecodable === undefined || change.operation === "truncate") {
    return;
  }
  const after = undecodableAfter(change);
  if (after !== null) {
    const { epoch, commitLsn } = transaction;
    const position = { epoch, commitLsn, index: index + after };
    throw new PoisonEvent(undecodable, { table: table.encoder.schema.table }, position);
  }
}

/** How many events later the one stands that holds such bytes; null when neither does. */
function undecodableAfter(change: RowChange): 0 | 1 | null {
  const holds = (row: RowValues | null) => row?.some(isUndecodable) === true;
  switch (change.operation) {
    case "insert":
      return holds(change.new) || holds(change.previousKey) ? 0 : null;
    case "update":
      return holds(change.new) || holds(change.old) ? 0 : null;
    case "delete":
      return holds(change.old) ? 0 : holds(change.nextKey) ? 1 : null;
    default:
      throw change satisfies never;
  }
}
