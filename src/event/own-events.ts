// The JSON of the events that the daemon makes itself, wire version 1: `read`, and the barriers `gap` and `sweep`. They
// stand between source transactions, so they have no xid and index 0.
import { formatLsn, type Lsn } from "./lsn.ts";
import type { RowEncoder, RowValues } from "./row-encoder.ts";

/** Where and when an own event was put into the stream. */
export interface OwnPlace {
  readonly sequence: number;
  readonly epoch: number;
  readonly lsn: Lsn;
  /** ISO 8601, microseconds, UTC. */
  readonly timestamp: string;
}

/** The JSON of rows that a snapshot read and that are put in one place, but for their sequence. */
export function readEncoder(
  table: RowEncoder,
  place: Omit<OwnPlace, "sequence">,
): (row: RowValues, sequence: number) => string {
  const head = `{"v":1,"table":${table.tableJson},"operation":"read","key":`;
  const beforeSequence = `,"timestamp":"${place.timestamp}","sequence":`;
  const tail = `,${ownTransaction(place)},"schema":${table.schema.schema}}`;
  return (row, sequence) =>
    `${head}${table.key(row)},"before":null,"after":${table.row(row)}${beforeSequence}${sequence}${tail}`;
}

/** The JSON of a gap barrier; `copies` is the number of partitions that get it. */
export function encodeGap(table: RowEncoder, reason: string, copies: number, place: OwnPlace): string {
  return `${barrier(table, "gap")},${own(place)},"schema":null,"reason":${JSON.stringify(reason)},"copies":${copies}}`;
}

/** The JSON of a sweep barrier: rows of the table whose last event is below `since` are gone. */
export function encodeSweep(table: RowEncoder, since: number, copies: number, place: OwnPlace): string {
  return `${barrier(table, "sweep")},${own(place)},"schema":null,"since":${since},"copies":${copies}}`;
}

function barrier(table: RowEncoder, operation: "gap" | "sweep"): string {
  return `{"v":1,"table":${table.tableJson},"operation":"${operation}","key":null,"before":null,"after":null`;
}

function own(place: OwnPlace): string {
  return `"timestamp":"${place.timestamp}","sequence":${place.sequence},${ownTransaction(place)}`;
}

function ownTransaction({ epoch, lsn }: Pick<OwnPlace, "epoch" | "lsn">): string {
  return `"transaction":{"id":null,"epoch":${epoch},"lsn":"${formatLsn(lsn)}","index":0}`;
}
