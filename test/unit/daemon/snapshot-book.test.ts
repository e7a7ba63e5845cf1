// What the next progress record says of snapshots after events of their tables.
import { expect, test } from "vitest";
import { SnapshotBook, toBeRead } from "../../../src/daemon/snapshot-book.ts";
import { UNCHANGED } from "../../../src/event/column-value.ts";
import { lsn, rowEncoder } from "../event/tables.ts";

const encoder = rowEncoder([
  ["id", "int4"],
  ["body", "text"],
]);
const table = { encoder, topic: "t", partitions: 1 };
const { oid } = encoder.schema;
const moved = (id: number) => ({
  table,
  change: { operation: "insert", new: [String(id), UNCHANGED], previousKey: ["0", null] } as const,
  transaction: { id: "7", epoch: 1, commitLsn: lsn(70), timestamp: "" },
  sequence: id,
  index: id,
  last: false,
});

test("every row that goes on under another key without all its values is read again, however many there are", () => {
  const book = new SnapshotBook([toBeRead(table)], [table]);
  const untouched = book.state;
  book.note(moved(1));
  expect(book.state).toBe(untouched);
  book.watch(oid);
  const rows = 200_000;
  for (let id = 1; id <= rows; id++) {
    book.note(moved(id));
  }
  const { state } = book;
  expect(state[0]!.again).toHaveLength(rows);
  expect(state[0]!.again.at(-1)).toEqual([String(rows)]);
  expect(book.state).toBe(state);
  book.note(moved(7));
  book.change(oid, { rows: 5 });
  expect(book.get(oid)).toMatchObject({ rows: 5, again: { length: rows + 1 } });
});
