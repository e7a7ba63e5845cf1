// An event that can't be published as it is: named by its position, so that an operator can mend it or leave it out.
import { AfterimageError } from "../errors.ts";
import { parseLsn } from "../event/lsn.ts";
import { formatPosition, type Position } from "../event/position.ts";
import type { RecordTooLarge } from "../kafka/errors.ts";
import type { EncodedEvent } from "./encode-event.ts";

/** The stream halts at `position`, of `table`; a row that a snapshot read has none. */
export class PoisonEvent extends AfterimageError {
  readonly table: string;
  readonly position: Position | null;

  constructor({ code, message, advice }: AfterimageError, table: string, position: Position | null) {
    super(
      code,
      position === null
        ? `${message} It is a row of ${table} that a snapshot read.`
        : `${message} It is the event at position ${formatPosition(position)}, of ${table}.`,
      position === null
        ? `${advice} Or make the row smaller, or delete it: it is read again then.`
        : `${advice} Or leave the event out, which every reader is told: afterimage skip ${formatPosition(position)} --reason "…".`,
    );
    this.table = table;
    this.position = position;
  }
}

/** The error of a batch's record, with what it is; as it was when it is no event. */
export function asPoison(error: RecordTooLarge, events: readonly EncodedEvent[]): AfterimageError {
  const event = events.find((each) => each === error.record);
  if (event === undefined) {
    return error;
  }
  const { epoch, lsn, index } = JSON.parse(event.value).transaction;
  if (event.encoder === null) {
    return messageTooLarge(error, event, formatPosition({ epoch, commitLsn: parseLsn(lsn), index }));
  }
  const position = index === 0 ? null : { epoch, commitLsn: parseLsn(lsn), index };
  return new PoisonEvent(error, event.encoder.schema.table, position);
}

/** No table can be read again in its place, so no gap may stand for it. */
function messageTooLarge({ code, message, advice }: AfterimageError, { key }: EncodedEvent, position: string) {
  return new AfterimageError(
    code,
    `${message} It is the message at position ${position}, with prefix ${JSON.stringify(key)}.`,
    `${advice} A message can't be skipped; where raising that is no way, take its prefix out of messages.prefixes.`,
  );
}
