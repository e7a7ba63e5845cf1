// A shape's id is given when the shape is met, and written with the first event that needs it. So of one table the records
// may stand in another order than their ids, and ids may be missing; readers go by the order of the records.
import type pg from "pg";
import { describe, expect, test } from "vitest";
import { CAPTURE_ENDED } from "../../../src/daemon/continuity.ts";
import { SnapshotBook } from "../../../src/daemon/snapshot-book.ts";
import { TableResolver } from "../../../src/daemon/table-resolver.ts";
import { EventDecoder } from "../../../src/sdk/values/event-decoder.ts";
import type { Topics } from "../../../src/sink/topics.ts";
import { inForce } from "../../../src/verify/table-plan.ts";
import { tableSchema } from "../event/tables.ts";

const shape = (id: number, table: string, oid: number, ...more: string[]) => ({
  ...tableSchema([["id", "int4"], ...more.map((name) => [name, "text"] as const)], { table, oid, id }),
  publicationRel: 9,
});
/** As they stand in the topic: 6 was met before 7, and had its first event after it; 2 and 5 had none. */
const RECORDED = [
  shape(1, "t", 100),
  shape(4, "u", 200),
  shape(3, "renamed", 300),
  shape(7, "t", 100, "added"),
  shape(6, "t", 100),
  shape(8, "was_renamed", 300),
  { ...shape(9, "u", 200), publicationRel: CAPTURE_ENDED },
];
const resolver = () =>
  new TableResolver(
    null as unknown as pg.Client,
    1,
    { tables: ["*.*"], keyless: [], onRewrite: "snapshot" },
    { nameOf: (schema: string, table: string) => `${schema}.${table}` } as unknown as Topics,
    RECORDED,
  );
const ids = (schemas: readonly { readonly schema: number }[]) => schemas.map(({ schema }) => schema);

describe("records of a table in another order than their ids", () => {
  test("what is in force is what was recorded last, to the daemon and to verify alike", () => {
    expect(ids(resolver().inForce())).toEqual([6, 8]);
    expect(ids(inForce(RECORDED))).toEqual([6, 8]);
    expect(resolver().captured()).toEqual([
      { table: "public.t", topic: "public.t" },
      { table: "public.was_renamed", topic: "public.was_renamed" },
    ]);
  });

  test("the next id is above all of them", () => {
    expect(resolver().end(RECORDED[4]!).schema).toBe(10);
  });

  test("a table's last name is the one that it has, whichever was written first", () => {
    const book = new SnapshotBook([], [], resolver().latest());
    const again = { ...shape(10, "renamed", 300), columns: RECORDED[2]!.columns };
    const table = { encoder: { schema: again, hasKey: true } as never, topic: "t", partitions: 1 };
    expect(book.isNews(table)).toBe(true);
  });

  test("an event is decoded by the id that it names", () => {
    const decoder = new EventDecoder(null, []);
    for (const schema of RECORDED) {
      decoder.learn(schema);
    }
    const event = (schema: number, after: object) =>
      decoder.decode({ operation: "insert", table: "public.t", schema, key: { id: 1 }, before: null, after } as never);
    expect(event(6, { id: 1 })).toMatchObject({ after: { id: 1 } });
    expect(event(7, { id: 1, added: "x" })).toMatchObject({ after: { id: 1, added: "x" } });
  });
});
