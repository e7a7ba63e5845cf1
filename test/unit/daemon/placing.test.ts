// What ends a snapshot, or opens it again, when the table has become another one meanwhile.
import { beforeEach, describe, expect, test } from "vitest";
import type { CapturedTable } from "../../../src/capture/captured-table.ts";
import { endSnapshot, giveUp, passChange, type ReadingParts } from "../../../src/daemon/placing.ts";
import { SnapshotBook } from "../../../src/daemon/snapshot-book.ts";
import { toBeRead } from "../../../src/daemon/table-snapshot.ts";
import { RowEncoder } from "../../../src/event/row-encoder.ts";
import type { TableSchema } from "../../../src/event/schema.ts";
import type { EncodedEvent } from "../../../src/sink/encode-event.ts";
import { lsn, rowEncoder } from "../event/tables.ts";

const { schema } = rowEncoder([
  ["id", "int4"],
  ["n", "int4"],
]);
const captured = (changes: Partial<TableSchema> = {}): CapturedTable => ({
  encoder: new RowEncoder({ ...schema, publicationRel: 50, ...changes }),
  topic: "t",
  partitions: 1,
});
const { oid, table: name } = schema;
const later = captured({ schema: schema.schema + 1, identity: "f" });
const back = captured({ schema: schema.schema + 1, publicationRel: 51 });

let book: SnapshotBook;
let placed: EncodedEvent[];
let parts: ReadingParts;
beforeEach(() => {
  placed = [];
  book = new SnapshotBook([{ ...toBeRead(captured()), since: 1 }], [captured()]);
  parts = {
    book,
    epoch: 1,
    reader: { position: async () => lsn(9) },
    place: async (after, build) => void placed.push(...build(after, () => 7)),
    ask: () => undefined,
    nudge: async () => undefined,
  } as Partial<ReadingParts> as ReadingParts;
});
describe("a table that was found to be gone", () => {
  test("has no snapshot any more", async () => {
    expect(await giveUp(parts, { oid, name, generation: book.generation(oid) })).toBe(true);
    expect(book.state).toEqual([]);
    expect(placed.map(({ value }) => JSON.parse(value))).toMatchObject([
      { operation: "gap", sequence: 7, reason: "snapshot given up: the table is not published any more" },
    ]);
  });

  test("tells nothing where no gap had opened its snapshot", async () => {
    book.change(oid, { since: null });
    expect(await giveUp(parts, { oid, name, generation: book.generation(oid) })).toBe(true);
    expect(placed).toEqual([]);
  });

  test("keeps the one that was begun since it is back: its rows of the time between are still to be read", async () => {
    const generation = book.generation(oid);
    book.announced(back);
    expect(await giveUp(parts, { oid, name, generation })).toBe(false);
    expect(book.state).toMatchObject([{ oid, behind: true, since: null }]);
  });
});

test("a gap that is put again, and a sweep, are of the shape that the table has by then, which is recorded with them", async () => {
  book.announced(later);
  book.change(oid, { behind: true });
  await passChange(parts, oid);
  const sweep = endSnapshot(parts, book.tables.get(oid)!, lsn(9), () => 8);
  const own = [...placed, ...sweep].map(({ encoder, value }) => [encoder?.schema.schema, JSON.parse(value).operation]);
  const inForce = later.encoder.schema.schema;
  expect(own).toEqual([
    [inForce, "gap"],
    [inForce, "sweep"],
  ]);
});
