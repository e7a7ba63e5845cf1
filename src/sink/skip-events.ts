// Events that an operator leaves out: each becomes a gap in its own place, so that it keeps its sequence and its index.
import { encodeSkipped, encodeSkippedMessage, type RowChange } from "../event/envelope.ts";
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

export interface SkippingEncoder<Change> {
  /** The gap in the place of an event that is left out; null for all others. */
  readonly leaveOut: (event: Change | EncodableMessage) => EncodedEvent | null;
  /** `encodeEvent` for those. */
  readonly encode: (event: Change | EncodableMessage) => EncodedEvent;
}

/** Leaves out the events at these positions. `onSkipped` is told of each that is one of a table. */
export function skippingEncoder<Change extends EncodableChange, Planned extends Skip>(
  skips: readonly Planned[],
  onSkipped: (skip: Planned, event: Change) => void,
): SkippingEncoder<Change> {
  const byPosition = new Map(skips.map((skip) => [formatPosition(skip.position), skip]));
  const at = ({ transaction, index }: EncodableEvent, by = 0) =>
    byPosition.get(formatPosition({ epoch: transaction.epoch, commitLsn: transaction.commitLsn, index: index + by }));
  return {
    leaveOut(event) {
      const skip = at(event);
      if (skip === undefined) {
        return null;
      }
      if (event.table === null) {
        return encodeMessageGap(event, skip.reason);
      }
      onSkipped(skip, event);
      return encodeGap(event, skip.reason);
    },
    encode(event) {
      if (event.table === null) {
        return encodeEvent(event);
      }
      const { change } = event;
      if (change.operation === "delete" && change.nextKey !== null && at(event, 1) !== undefined) {
        return encodeEvent({ ...event, change: alone(change) });
      }
      if (change.operation === "insert" && change.previousKey !== null && at(event, -1) !== undefined) {
        return encodeEvent({ ...event, change: { ...change, previousKey: null } });
      }
      return encodeEvent(event);
    },
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
  return { encoder, topic, ...inAll(partitions, value), sequence: event.sequence };
}

function encodeMessageGap(event: EncodableMessage, reason: string): EncodedEvent {
  const { topic, partitions } = event.route;
  const value = encodeSkippedMessage(event.change.prefix, reason, partitions, event.transaction, event);
  return { encoder: null, topic, ...inAll(partitions, value), sequence: event.sequence };
}

function inAll(partitions: number, value: string): Omit<EncodedEvent, "encoder" | "topic" | "sequence"> {
  const bytes = (value.length + OVERHEAD_BYTES) * partitions;
  return { partition: "all", copies: partitions, key: null, value, bytes };
}
