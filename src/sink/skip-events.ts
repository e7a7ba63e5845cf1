// Events that an operator leaves out: each becomes a gap in its own place, so that it keeps its sequence and its index.
import { encodeSkipped, type RowChange } from "../event/envelope.ts";
import { formatPosition, type Position } from "../event/position.ts";
import {
  type EncodableChange,
  type EncodableEvent,
  type EncodableMessage,
  type EncodedEvent,
  encodeEvent,
  OVERHEAD_BYTES,
} from "./encode-event.ts";

export interface Skip {
  readonly position: Position;
  /** As the gap says it. */
  readonly reason: string;
}

/** `encodeEvent`, but for the events at these positions. `onSkipped` is told of each. */
export function skippingEncoder<Change extends EncodableChange, Planned extends Skip>(
  skips: readonly Planned[],
  onSkipped: (skip: Planned, event: Change) => void,
): (event: Change | EncodableMessage) => EncodedEvent {
  const byPosition = new Map(skips.map((skip) => [formatPosition(skip.position), skip]));
  const at = ({ transaction, index }: EncodableEvent, by = 0) =>
    byPosition.get(formatPosition({ epoch: transaction.epoch, commitLsn: transaction.commitLsn, index: index + by }));
  return (event) => {
    // The stream halts at no message that could be skipped.
    if (event.table === null) {
      return encodeEvent(event);
    }
    const skip = at(event);
    if (skip !== undefined) {
      onSkipped(skip, event);
      return encodeGap(event, skip.reason);
    }
    const { change } = event;
    if (change.operation === "delete" && change.nextKey !== null && at(event, 1) !== undefined) {
      return encodeEvent({ ...event, change: alone(change) });
    }
    if (change.operation === "insert" && change.previousKey !== null && at(event, -1) !== undefined) {
      return encodeEvent({ ...event, change: { ...change, previousKey: null } });
    }
    return encodeEvent(event);
  };
}

/** Half of a key change whose other half is left out: nobody shall wait for that. */
const alone = (change: Extract<RowChange, { operation: "delete" }>): RowChange => ({
  ...change,
  nextKey: null,
  unchanged: [],
});

function encodeGap(event: EncodableChange, reason: string): EncodedEvent {
  const { encoder, topic, partitions } = event.table;
  const value = encodeSkipped(encoder, reason, partitions, event.transaction, event);
  const bytes = (value.length + OVERHEAD_BYTES) * partitions;
  const { sequence } = event;
  return { encoder, topic, partition: "all", copies: partitions, key: null, value, sequence, bytes };
}
