// Captured events → the records a batch holds: JSON text, record key and partition.
import type { AfterimageError } from "../errors.ts";
import {
  type EnvelopePlace,
  type EnvelopeTransaction,
  encodeMessage,
  encodeRowEvent,
  encodeTruncate,
  type RowChange,
} from "../event/envelope.ts";
import type { EmittedMessage } from "../event/message.ts";
import type { RowEncoder } from "../event/row-encoder.ts";
import { partitionOf } from "../kafka/murmur2.ts";
import { refuseUndecodable } from "./poison.ts";

/** What the encoder needs of a captured event. */
export type EncodableEvent = EncodableChange | EncodableMessage;

export interface EncodableChange extends EnvelopePlace {
  readonly table: { readonly encoder: RowEncoder; readonly topic: string; readonly partitions: number };
  readonly change: RowChange | { readonly operation: "truncate" };
  readonly transaction: EnvelopeTransaction;
  /** TEXT_UNDECODABLE when values that Postgres sent with it are not UTF-8. */
  readonly undecodable?: AfterimageError;
}

export interface EncodableMessage extends EnvelopePlace {
  readonly table: null;
  readonly route: { readonly topic: string; readonly partitions: number };
  readonly change: EmittedMessage;
  readonly transaction: EnvelopeTransaction;
}

export interface EncodedEvent {
  /** Null for a message, which belongs to no table. */
  readonly encoder: RowEncoder | null;
  readonly topic: string;
  /** `"all"`: a barrier, copied to every partition. */
  readonly partition: number | "all";
  readonly copies: number;
  readonly key: string | null;
  readonly value: string;
  readonly sequence: number;
  /** Roughly what it takes in memory and in the record batch. */
  readonly bytes: number;
}

/** Length of a record's framing and of the object that holds it; rounded up. */
export const OVERHEAD_BYTES = 100;

/** Throws PoisonEvent when a value of it is not UTF-8. */
export function encodeEvent(event: EncodableEvent): EncodedEvent {
  return event.table === null ? encodeEmitted(event) : encodeChange(event);
}

/** Those of one prefix go to one partition, so that their order holds. */
function encodeEmitted(event: EncodableMessage): EncodedEvent {
  const { topic, partitions } = event.route;
  const { prefix } = event.change;
  const value = encodeMessage(event.change, event.transaction, event);
  return {
    encoder: null,
    topic,
    partition: partitionOf(prefix, partitions),
    copies: 1,
    key: prefix,
    value,
    sequence: event.sequence,
    bytes: Buffer.byteLength(value) + Buffer.byteLength(prefix) + OVERHEAD_BYTES,
  };
}

function encodeChange(event: EncodableChange): EncodedEvent {
  const { encoder, topic, partitions } = event.table;
  refuseUndecodable(event);
  const { change } = event;
  const shared = { encoder, topic, sequence: event.sequence };
  if (change.operation === "truncate") {
    const value = encodeTruncate(encoder, partitions, event.transaction, event);
    const bytes = (value.length + OVERHEAD_BYTES) * partitions;
    return { ...shared, partition: "all", copies: partitions, key: null, value, bytes };
  }
  const value = encodeRowEvent(change, encoder, event.transaction, event);
  const key = encoder.recordKey(change.operation === "delete" ? change.old : change.new);
  return {
    ...shared,
    // Without a key all events of the table go to one partition, so that their order holds.
    partition: partitionOf(key ?? encoder.schema.table, partitions),
    copies: 1,
    key,
    value,
    bytes: Buffer.byteLength(value) + (key?.length ?? 0) + OVERHEAD_BYTES,
  };
}
