// Change events to and from their JSON, wire version 1. The field order is part of the contract and pinned by a test.
import { AfterimageError } from "../errors.ts";
import { type ChangeEvent, MESSAGES, messageGapReason, type Operation } from "./change-event.ts";
import { problemOf } from "./envelope-check.ts";
import { formatLsn, type Lsn } from "./lsn.ts";
import { type EmittedMessage, encodeContent } from "./message.ts";
import type { RowEncoder, RowValues } from "./row-encoder.ts";

// What `afterimage-cdc/event` offers beside this file's own: the types of events, and positions.
export type * from "./change-event.ts";
export { emptiesTable, givesUpSnapshot, isBarrier, opensSnapshot, skippedPrefix } from "./change-event.ts";
export { formatLsn, type Lsn, parseLsn } from "./lsn.ts";
export { messageBytes } from "./message.ts";
export { comparePositions, type Position } from "./position.ts";

/** The source transaction of an event, as the envelope shows it. */
export interface EnvelopeTransaction {
  readonly id: string;
  readonly epoch: number;
  readonly commitLsn: Lsn;
  /** ISO 8601, microseconds, UTC. */
  readonly timestamp: string;
}

/** What differs from event to event of one transaction. */
export interface EnvelopePlace {
  readonly sequence: number;
  readonly index: number;
  readonly last: boolean;
}

/** A row change ready to be written; `old` and `new` in the order of the encoder's schema. */
export type RowChange =
  | { readonly operation: "insert"; readonly new: RowValues; readonly previousKey: RowValues | null }
  | { readonly operation: "update"; readonly old: RowValues | null; readonly new: RowValues }
  | {
      readonly operation: "delete";
      readonly old: RowValues;
      /** False when Postgres sent the key columns alone. */
      readonly oldIsWhole: boolean;
      readonly nextKey: RowValues | null;
      /** The unchanged columns of the insert that follows a key change. */
      readonly unchanged: readonly string[];
    };

/** The JSON of a row event. */
export function encodeRowEvent(
  change: RowChange,
  table: RowEncoder,
  transaction: EnvelopeTransaction,
  place: EnvelopePlace,
): string {
  switch (change.operation) {
    case "insert": {
      const unchanged = table.unchanged(change.new);
      return (
        open("insert", table.tableJson, table.key(change.new), "null", table.row(change.new)) +
        source(transaction, place, table.schema.schema) +
        (change.previousKey === null ? "" : `,"previousKey":${table.key(change.previousKey)}`) +
        unchangedField(unchanged)
      );
    }
    case "update":
      return (
        open(
          "update",
          table.tableJson,
          table.key(change.new),
          change.old === null ? "null" : table.row(change.old),
          table.row(change.new),
        ) +
        source(transaction, place, table.schema.schema) +
        unchangedField(table.unchanged(change.new))
      );
    case "delete":
      return (
        open("delete", table.tableJson, table.key(change.old), oldRow(change, table), "null") +
        source(transaction, place, table.schema.schema) +
        (change.nextKey === null ? "" : `,"nextKey":${table.key(change.nextKey)}`) +
        unchangedField(change.unchanged)
      );
    default:
      throw change satisfies never;
  }
}

function oldRow({ old, oldIsWhole }: Extract<RowChange, { operation: "delete" }>, table: RowEncoder): string {
  if (oldIsWhole) {
    return table.row(old);
  }
  return table.hasKey ? table.key(old) : table.identity(old);
}

/** The JSON of a truncate barrier; `copies` is the number of partitions that get it. */
export function encodeTruncate(
  table: RowEncoder,
  copies: number,
  transaction: EnvelopeTransaction,
  place: EnvelopePlace,
): string {
  return `${open("truncate", table.tableJson, "null", "null", "null")}${source(transaction, place, table.schema.schema)},"copies":${copies}}`;
}

/** The JSON of a gap in the place of an event that is left out; `copies` is the number of partitions that get it. */
export function encodeSkipped(
  table: RowEncoder,
  reason: string,
  copies: number,
  transaction: EnvelopeTransaction,
  place: EnvelopePlace,
): string {
  return `${open("gap", table.tableJson, "null", "null", "null")}${source(transaction, place, null)},"reason":${JSON.stringify(reason)},"copies":${copies}}`;
}

/** The same for a message that is left out. */
export function encodeSkippedMessage(
  prefix: string,
  reason: string,
  copies: number,
  transaction: EnvelopeTransaction,
  place: EnvelopePlace,
): string {
  const why = JSON.stringify(messageGapReason(prefix, reason));
  return `${open("gap", `"${MESSAGES}"`, "null", "null", "null")}${source(transaction, place, null)},"reason":${why},"copies":${copies}}`;
}

/** The JSON of a message, which belongs to no table. */
export function encodeMessage(message: EmittedMessage, transaction: EnvelopeTransaction, place: EnvelopePlace): string {
  const after = JSON.stringify(encodeContent(message));
  return `${open("message", "null", "null", "null", after)}${source(transaction, place, null)}}`;
}

function open(operation: Operation, table: string, key: string, before: string, after: string): string {
  return `{"v":1,"table":${table},"operation":"${operation}","key":${key},"before":${before},"after":${after}`;
}

function source(transaction: EnvelopeTransaction, place: EnvelopePlace, schema: number | null): string {
  return `,"timestamp":"${transaction.timestamp}","sequence":${place.sequence},"transaction":{"id":"${transaction.id}","epoch":${transaction.epoch},"lsn":"${formatLsn(transaction.commitLsn)}","index":${place.index}${place.last ? ',"last":true' : ""}},"schema":${schema}`;
}

function unchangedField(names: readonly string[]): string {
  return names.length === 0 ? "}" : `,"unchanged":${JSON.stringify(names)}}`;
}

/**
 * Reads one event. Throws ENVELOPE_VERSION_UNKNOWN for a version this reader does not know and ENVELOPE_INVALID for
 * anything that is not an event; never skips.
 */
export function parseEnvelope(json: string): ChangeEvent {
  let event: Partial<Record<string, unknown>>;
  try {
    event = JSON.parse(json);
  } catch {
    // The parser's message quotes the text, which may hold row values.
    throw invalid("it is not JSON");
  }
  if (event === null || typeof event !== "object" || Array.isArray(event)) {
    throw invalid("it is not an object");
  }
  if (event.v !== 1) {
    throw new AfterimageError(
      "ENVELOPE_VERSION_UNKNOWN",
      `An event has version ${JSON.stringify(event.v)}; this reader knows version 1.`,
      "Upgrade afterimage-cdc in the consumer to the version that wrote the stream.",
    );
  }
  const problem = problemOf(event);
  if (problem !== null) {
    throw invalid(problem);
  }
  return event as unknown as ChangeEvent;
}

function invalid(why: string): AfterimageError {
  return new AfterimageError(
    "ENVELOPE_INVALID",
    `A record of the stream is not a change event: ${why}.`,
    "Only afterimage may write to the stream's topics; find the other writer and rebuild the stream.",
  );
}
