// A change is completed from the row before it; what Postgres sent wins, and what is not known stays as it was sent.
import { expect, test } from "vitest";
import { UNCHANGED } from "../../../src/event/column-value.ts";
import type { RowChange } from "../../../src/event/envelope.ts";
import type { RowValues } from "../../../src/event/row-encoder.ts";
import { completeChange, type RowMemory } from "../../../src/images/complete-change.ts";
import { parseStored, valuesOf } from "../../../src/images/stored-event.ts";
import { rowEncoder, tableSchema } from "../event/tables.ts";

const TABLE = rowEncoder([
  ["id", "int4"],
  ["v", "text"],
  ["body", "text"],
]);

/** Whole rows by record key; one that goes on under another key is moved. */
class Rows implements RowMemory {
  readonly rows = new Map<string, RowValues>();
  moving: RowValues | null = null;
  known = (key: string) => this.rows.get(key) ?? null;
  moved = () => this.moving;
  put(key: string, row: RowValues): void {
    if (row.includes(UNCHANGED)) this.rows.delete(key);
    else this.rows.set(key, row);
  }
  remove(key: string, moving: RowValues | null): void {
    this.rows.delete(key);
    this.moving = moving;
  }
}

const complete = (rows: Rows, change: RowChange) => completeChange(change, TABLE, rows);

test("an update gets the whole old row, and the values that were not sent", () => {
  const rows = new Rows();
  complete(rows, { operation: "insert", new: ["1", "a", "long"], previousKey: null });
  expect(complete(rows, { operation: "update", old: null, new: ["1", "b", UNCHANGED] })).toEqual({
    operation: "update",
    old: ["1", "a", "long"],
    new: ["1", "b", "long"],
  });
  expect(
    complete(rows, { operation: "delete", old: ["1", null, null], oldIsWhole: false, nextKey: null, unchanged: [] }),
  ).toEqual({
    operation: "delete",
    old: ["1", "b", "long"],
    oldIsWhole: true,
    nextKey: null,
    unchanged: [],
  });
  expect(rows.rows.size).toBe(0);
});

test("both halves of a key change have all values, and say that nothing is unchanged", () => {
  const rows = new Rows();
  rows.put('{"id":"1"}', ["1", "a", "long"]);
  const row: RowValues = ["2", "a", UNCHANGED];
  const halves: RowChange[] = [
    { operation: "delete", old: ["1", null, null], oldIsWhole: false, nextKey: row, unchanged: ["body"] },
    { operation: "insert", new: row, previousKey: ["1", null, null] },
  ];
  expect(halves.map((half) => complete(rows, half))).toEqual([
    { ...halves[0], old: ["1", "a", "long"], oldIsWhole: true, unchanged: [] },
    { ...halves[1], new: ["2", "a", "long"] },
  ]);
  expect(rows.rows).toEqual(new Map([['{"id":"2"}', ["2", "a", "long"]]]));
});

test("what is not known stays as it was sent, and is not known afterwards", () => {
  const rows = new Rows();
  const changes: RowChange[] = [
    { operation: "update", old: null, new: ["1", "b", UNCHANGED] },
    {
      operation: "delete",
      old: ["1", null, null],
      oldIsWhole: false,
      nextKey: ["2", "b", UNCHANGED],
      unchanged: ["body"],
    },
    { operation: "insert", new: ["2", "b", UNCHANGED], previousKey: ["1", null, null] },
  ];
  for (const change of changes) expect(complete(rows, change)).toBe(change);
  expect(rows.rows.size).toBe(0);
});

test("an old row that Postgres sent is the one that counts", () => {
  const rows = new Rows();
  rows.put('{"id":"1"}', ["1", "stale", "stale"]);
  const change: RowChange = { operation: "update", old: ["1", "a", "long"], new: ["1", "b", "long"] };
  expect(complete(rows, change)).toBe(change);
  const gone: RowChange = {
    operation: "delete",
    old: ["1", "b", "long"],
    oldIsWhole: true,
    nextKey: null,
    unchanged: [],
  };
  expect(complete(rows, gone)).toBe(gone);
});

test("a row of the topic gives back the texts that Postgres sent", () => {
  const schema = tableSchema([
    ["1", "int4"],
    ["__proto__", "float8"],
    ["f", "float4"],
    ["b", "bool"],
    ["n", "numeric"],
    ["t", "text"],
    ["none", "text"],
    ["left", "text"],
  ]);
  const json =
    '{"v":1,"table":"public.t","operation":"update","key":{"1":7},"before":null,"after":{"1":7,"__proto__":-0,"f":1e-07,"b":true,"n":"1.50","t":"1\\u0001\\"{}","none":null},"timestamp":"2026-11-22T18:00:00.123456Z","sequence":12,"transaction":{"id":"7","epoch":1,"lsn":"0/5","index":1,"last":true},"schema":1,"unchanged":["left"]}';
  expect(parseStored(json).sequence).toBe(12);
  const whole = ["7", "-0", "1e-07", "t", "1.50", '1\u0001"{}', null, UNCHANGED];
  expect(valuesOf(json, "after", schema, ["left"])).toEqual(whole);
  expect(valuesOf(json, "after", schema)).toBeNull();
  expect(valuesOf(json, "before", schema)).toBeNull();
});
