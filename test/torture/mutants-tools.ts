// What mutants choose their victims with, and change records with.
import type { AuditRow, Evidence, ReadRecord, TableSpec } from "./evidence.ts";
import { type ForgedEvent, operationOf, putTogether, runsOf, sourceOf, tableOf, takeApart } from "./forge.ts";

/** The one in the middle of those that fit: neither the first nor the last is an ordinary one. */
export function middle<T>(items: readonly T[], fits: (item: T, at: number) => boolean, what: string): T {
  return items[middleIndex(items, fits, what)]!;
}

export function middleIndex<T>(items: readonly T[], fits: (item: T, at: number) => boolean, what: string): number {
  const found: number[] = [];
  items.forEach((item, at) => {
    if (fits(item, at)) found.push(at);
  });
  if (found.length === 0) throw new RangeError(`The evidence holds no ${what}.`);
  return found[found.length >> 1]!;
}

/** The same change of what was read at the end and of what was followed; null takes a record away. */
export function changeRecords(
  evidence: Evidence,
  change: (record: ReadRecord) => ReadRecord | readonly ReadRecord[] | null,
): Evidence {
  const changed = (records: readonly ReadRecord[]) => records.flatMap((record) => change(record) ?? []);
  return { ...evidence, records: changed(evidence.records), followed: changed(evidence.followed) };
}

export const isAt = (a: ReadRecord, b: ReadRecord): boolean =>
  a.topic === b.topic && a.partition === b.partition && a.offset === b.offset;

export function changeRecord(
  evidence: Evidence,
  victim: ReadRecord,
  change: (record: ReadRecord) => ReadRecord | readonly ReadRecord[] | null,
): Evidence {
  return changeRecords(evidence, (record) => (isAt(record, victim) ? change(record) : record));
}

export type Row = Record<string, unknown>;

/** An event as JSON.parse gives it. */
export interface EventJson {
  operation: string;
  key: Row | null;
  before: Row | null;
  after: Row | null;
  nextKey?: Row;
  previousKey?: Row;
  unchanged?: string[];
  schema?: number;
}

export const parse = ({ value }: ReadRecord): EventJson => JSON.parse(value!);

export const specOf = ({ tables }: Evidence, { value }: ReadRecord): TableSpec =>
  tables.find(({ table }) => table === tableOf(value!))!;

/** Whether JSON.parse and JSON.stringify give the same text again, and the columns never change. */
export function isPlain({ columns, types }: TableSpec, row: Row | null): boolean {
  const isKept = [...types.values()].every((type) => /^(bool|int[24]|oid)$/.test(type));
  const keepsOrder = columns.every((name) => !/^\d+$|^__proto__$/.test(name));
  return isKept && keepsOrder && (row === null || Object.keys(row).every((name) => columns.includes(name)));
}

export interface Candidate {
  readonly record: ReadRecord;
  readonly event: EventJson;
  readonly spec: TableSpec;
}

/** Row events of plain tables. */
export function candidates(evidence: Evidence, operation: string): Candidate[] {
  return evidence.records
    .filter(({ value }) => operationOf(value!) === operation)
    .map((record) => ({ record, event: parse(record), spec: specOf(evidence, record) }))
    .filter(({ event, spec }) => isPlain(spec, event.after ?? event.before));
}

/** Writes the event of a candidate anew. */
export function changeEvent(evidence: Evidence, { record, event }: Candidate, change: Partial<EventJson>): Evidence {
  const value = JSON.stringify({ ...event, ...change });
  return changeRecord(evidence, record, (own) => ({ ...own, value }));
}

/** A column outside the key. */
export const otherColumn = ({ columns, key }: TableSpec): string | undefined =>
  columns.find((name) => !key.includes(name));

/** The audit row of a row event; its table has one change with that key in the transaction. */
export function auditOf({ audit }: Evidence, { record, event, spec }: Candidate): AuditRow | undefined {
  const { xid } = sourceOf(record.value!);
  const own = audit.filter(
    (row) =>
      row.table === spec.table &&
      String(BigInt(row.xid) & 0xffff_ffffn) === xid &&
      spec.key.every((name) => (row.new ?? row.old)?.get(name) === String(event.key![name])),
  );
  return own.length === 1 ? own[0] : undefined;
}

/** Replaces the item at an index. */
export const replaced = <T>(items: readonly T[], index: number, item: T): T[] =>
  items.map((own, at) => (at === index ? item : own));

export const isRow = ({ value }: { readonly value: string | null }): boolean => operationOf(value!) !== "truncate";

/** Takes the runs apart, lets them be changed, and numbers everything anew. */
export function forged(
  evidence: Evidence,
  change: (runs: ForgedEvent[][], at: number) => void,
  fits = (_: readonly ForgedEvent[]) => true,
): Evidence {
  const runs = runsOf(takeApart(evidence));
  // Away from the ends, where neighbours are.
  const isInside = (run: readonly ForgedEvent[], at: number) => at > 1 && at < runs.length - 2 && fits(run);
  change(runs, middleIndex(runs, isInside, "transaction that fits"));
  return putTogether(evidence, runs.flat());
}

/** At least so many events, and no truncate. */
export const hasRows = (least: number) => (run: readonly ForgedEvent[]) => run.length >= least && run.every(isRow);
