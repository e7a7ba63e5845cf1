// What the next progress record says of snapshots after events of their tables.
import { expect, test } from "vitest";
import { MOST_AGAIN, SnapshotBook } from "../../../src/daemon/snapshot-book.ts";
import { toBeRead } from "../../../src/daemon/table-snapshot.ts";
import { UNCHANGED } from "../../../src/event/column-value.ts";
import { RowEncoder } from "../../../src/event/row-encoder.ts";
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
  message: id,
  rest: 0,
  last: false,
});

test("every row that goes on under another key without all its values is read again", () => {
  const book = new SnapshotBook([toBeRead(table)], [table]);
  const untouched = book.state;
  book.note(moved(1));
  expect(book.state).toBe(untouched);
  book.watch(oid);
  const rows = 10_000;
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

test("when they are too many for the progress record, the table is read anew, and later ones are noted still", () => {
  const underWay = { ...toBeRead(table), since: 3, ranges: [], again: [["1"]], rows: 9 };
  const book = new SnapshotBook([underWay], [table]);
  book.watch(oid);
  const before = book.generation(oid);
  let most = 0;
  for (let id = 100_000; id < 300_000; id++) {
    book.note(moved(id));
    most = Math.max(most, id % 1000 === 0 ? JSON.stringify(book.state).length : 0);
  }
  expect(most).toBeLessThan(3 * MOST_AGAIN);
  expect(book.generation(oid)).toBeGreaterThan(before);
  expect(book.get(oid)).toMatchObject({ since: 3, ranges: [{ after: null, upTo: null }], rows: 0 });
  expect(book.get(oid)!.again.at(-1)).toEqual(["299999"]);
});

test("what was read before a snapshot was given up is told from what a later one reads", () => {
  const book = new SnapshotBook([toBeRead(table)], [table]);
  const before = book.generation(oid);
  book.remove(oid);
  book.add(toBeRead(table));
  expect(book.generation(oid)).not.toBe(before);
});

test("a table that was made again under its name takes the place of the one before", () => {
  const book = new SnapshotBook([], [table]);
  const { schema } = encoder;
  const made = { ...table, encoder: new RowEncoder({ ...schema, schema: schema.schema + 1, oid: oid + 1 }) };
  book.announced(made);
  expect([...book.tables.keys()]).toEqual([oid + 1]);
  expect(book.state.map((entry) => [entry.oid, entry.behind])).toEqual([[oid + 1, true]]);
});

test("the gap is to be put again only where events came behind it", () => {
  const [entry] = [toBeRead(table, { behind: true })];
  const book = new SnapshotBook([], [table]);
  book.add(entry);
  book.change(oid, { since: 1 });
  expect(book.isTouched(oid)).toBe(false);
  book.note(moved(2));
  expect(book.isTouched(oid)).toBe(true);
  book.change(oid, { since: 3 });
  expect(book.isTouched(oid)).toBe(false);
  const begunBefore = { ...entry, since: 3 };
  expect(new SnapshotBook([begunBefore], [table]).isTouched(oid)).toBe(true);
});

test("rows that were read in another order, or in one that was not kept, are read from the beginning", () => {
  const order = ["id:23:0"];
  const book = new SnapshotBook([toBeRead(table)], [table]);
  const before = book.generation(oid);
  expect(book.keepsOrder(oid, order)).toBe(true);
  book.advance(oid, null, ["5"]);
  book.change(oid, { since: 3, rows: 5 });
  expect(book.keepsOrder(oid, order)).toBe(true);
  expect([book.generation(oid), book.get(oid)!.rows]).toEqual([before, 5]);
  expect(book.keepsOrder(oid, ["id:25:100"])).toBe(false);
  const anew = { since: 3, rows: 0, again: [], ranges: [{ after: null, upTo: null }], order: ["id:25:100"] };
  expect(book.get(oid)).toMatchObject(anew);
  expect(book.generation(oid)).toBeGreaterThan(before);

  const older = new SnapshotBook([{ ...toBeRead(table), since: 3, rows: 5 }], [table]);
  expect(older.keepsOrder(oid, order)).toBe(false);
  expect(older.get(oid)).toMatchObject({ since: 3, rows: 0, order });
  expect(older.keepsOrder(oid, order)).toBe(true);
});
