// Events of a snapshot → the records a batch holds.
import { encodeGap, encodeSweep, type OwnPlace, readEncoder } from "../event/own-events.ts";
import type { RowEncoder, RowValues } from "../event/row-encoder.ts";
import { partitionOf } from "../kafka/murmur2.ts";
import { type EncodedEvent, OVERHEAD_BYTES } from "./encode-event.ts";

/** The table and its topic. */
export interface OwnTable {
  readonly encoder: RowEncoder;
  readonly topic: string;
  readonly partitions: number;
}

/** Encodes the rows that a snapshot puts in one place of the stream. */
export function readEventEncoder(
  { encoder, topic, partitions }: OwnTable,
  place: Omit<OwnPlace, "sequence">,
): (row: RowValues, sequence: number) => EncodedEvent {
  const encode = readEncoder(encoder, place);
  return (row, sequence) => {
    const value = encode(row, sequence);
    const key = encoder.recordKey(row);
    return {
      encoder,
      topic,
      partition: partitionOf(key ?? encoder.schema.table, partitions),
      copies: 1,
      key,
      value,
      sequence,
      bytes: Buffer.byteLength(value) + (key?.length ?? 0) + OVERHEAD_BYTES,
    };
  };
}

export function encodeGapEvent(table: OwnTable, reason: string, place: OwnPlace): EncodedEvent {
  return toAll(table, encodeGap(table.encoder, reason, table.partitions, place), place);
}

export function encodeSweepEvent(table: OwnTable, since: number, place: OwnPlace): EncodedEvent {
  return toAll(table, encodeSweep(table.encoder, since, table.partitions, place), place);
}

function toAll({ encoder, topic, partitions }: OwnTable, value: string, { sequence }: OwnPlace): EncodedEvent {
  const bytes = (value.length + OVERHEAD_BYTES) * partitions;
  return { encoder, topic, partition: "all", copies: partitions, key: null, value, sequence, bytes };
}
