// One table's entry in the book of snapshots: as it begins, and what can be told from it.
import type { CapturedTable } from "../capture/captured-table.ts";
import { type KeyRange, type KeyTexts, type TableSnapshot, WHOLE_TABLE } from "../event/snapshot-state.ts";

/** A key, and so a range of a table, by name. */
export const nameOf = (key: KeyTexts | null): string => JSON.stringify(key);

/** Whether rows of it may have been read. */
export function isBegun({ ranges, rows }: TableSnapshot): boolean {
  const [first] = ranges;
  return rows > 0 || ranges.length !== 1 || first!.after !== null || first!.upTo !== null;
}

/** The range that ends there is read up to `after`, or to its end (null). */
export const advanced = (ranges: readonly KeyRange[], upTo: KeyTexts | null, after: KeyTexts | null): KeyRange[] =>
  ranges.flatMap((range) => (nameOf(range.upTo) !== nameOf(upTo) ? [range] : after === null ? [] : [{ after, upTo }]));

/** The range that ends there as several: `ends` are the last keys of all but the last of them, in order. */
export function divided(ranges: readonly KeyRange[], upTo: KeyTexts | null, ends: readonly KeyTexts[]): KeyRange[] {
  const parts = ({ after }: KeyRange) =>
    [...ends, upTo].map((end, at) => ({ after: at === 0 ? after : ends[at - 1]!, upTo: end }));
  return ranges.flatMap((range) => (nameOf(range.upTo) === nameOf(upTo) ? parts(range) : [range]));
}

/** Characters of keys, which stand in every progress record. */
export const weigh = (keys: readonly (readonly string[])[]): number =>
  keys.reduce((sum, key) => key.reduce((length, text) => length + text.length, sum), 0);

/** A table before anything of it was read. */
export function toBeRead(
  table: CapturedTable,
  {
    where = null,
    estimate = null,
    behind = false,
  }: { where?: string | null; estimate?: number | null; behind?: boolean } = {},
): TableSnapshot {
  const { oid, table: name } = table.encoder.schema;
  // The reading of a table without a key puts its gap itself, where the stream has reached its snapshot.
  const waits = behind && table.encoder.hasKey;
  return {
    table: name,
    oid,
    where,
    since: null,
    ...(waits ? { behind } : {}),
    ranges: [WHOLE_TABLE],
    again: [],
    rows: 0,
    estimate,
  };
}
