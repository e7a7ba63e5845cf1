// Events decoded by the shape that each names: built-in types, generated tables, and shapes that don't fit these.
import { expect, test } from "vitest";
import type { ChangeEvent, DeleteEvent, InsertEvent } from "../../../src/event/change-event.ts";
import { ZERO_LSN } from "../../../src/event/lsn.ts";
import type { TableSchema } from "../../../src/event/schema.ts";
import { EventDecoder } from "../../../src/sdk/values/event-decoder.ts";
import { defineTables, type TableDefinitions } from "../../../src/sdk/values/table-types.ts";
import { Timestamp } from "../../../src/sdk/values/timestamp.ts";
import { types as t } from "../../../src/sdk/values/types.ts";
import { gap, insert, remove, TABLE, truncate, update } from "./view-fixture.ts";

const schema = (id: number, ...columns: [name: string, type: string, oid: number][]): TableSchema => ({
  ...{ schema: id, table: TABLE, oid: 1, publicationRel: null, topicId: "t", identity: "d", readAt: ZERO_LSN },
  columns: columns.map(([name, type, oid]) => ({ name, type, oid, typmod: -1, key: name === "id" ? 1 : null })),
});

const ID: [string, string, number] = ["id", "int8", 20];

function decoderOf(tables: TableDefinitions | null, schemas: TableSchema[], asText: string[] = []): EventDecoder {
  const decoder = new EventDecoder(tables, asText);
  for (const each of schemas) {
    decoder.learn(each);
  }
  return decoder;
}

const at = (event: ChangeEvent, id: number): InsertEvent => ({ ...event, schema: id }) as InsertEvent;

function codeOf(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    return (error as { code: string }).code;
  }
}

test("built-in types are decoded wherever a row or a key stands, all others stay text", () => {
  const shape = schema(1, ID, ["at", "timestamptz", 1184], ["mood", "public.mood", 70_000], ["n", "_int4", 1007]);
  const decoder = decoderOf(null, [shape]);
  const row = { id: "7", at: "2026-11-22 18:00:00.000001+00", mood: "calm", n: "{1,NULL}" };
  const decoded = { id: 7n, at: new Timestamp(Date.UTC(2026, 10, 22, 18), 1), mood: "calm", n: [1, null] };
  expect(decoder.decode(insert(1, row))).toMatchObject({ key: { id: 7n }, before: null, after: decoded });
  expect(decoder.decode({ ...update(2, row), before: row } as ChangeEvent)).toMatchObject({ before: decoded });
  expect(decoder.decode(remove(3, { id: "7" }, { nextKey: { id: "8" } }))).toMatchObject({
    key: { id: 7n },
    before: { id: 7n },
    nextKey: { id: 8n },
  });
  expect(decoder.decode(insert(4, row, { previousKey: { id: "6" } }))).toMatchObject({ previousKey: { id: 6n } });
  const read = { ...insert(5, row), operation: "read" } as ChangeEvent;
  expect(decoder.decode(read)).toMatchObject({ operation: "read", key: { id: 7n }, after: decoded });
  expect([decoder.decode(truncate(6)), decoder.decode(gap(7))]).toEqual([truncate(6), gap(7)]);
});

test("null stays null, native values stay as they are, -0 too; what asText names stays text", () => {
  const shape = schema(1, ID, ["f", "float8", 701], ["j", "jsonb", 3802], ["k", "_jsonb", 3807], ["b", "bool", 16]);
  const decoder = decoderOf(null, [shape], ["jsonb", `${TABLE}.id`]);
  const row = { id: "7", f: -0, j: '{"a": 1}', k: null, b: false };
  expect(decoder.decode(at(insert(1, row), 1)).after).toEqual(row);
  expect(decoder.decode(at(insert(1, { ...row, f: "NaN" }), 1)).after.f).toBeNaN();
});

const tables = defineTables({
  [TABLE]: { key: ["id"], columns: { id: ["int8", t.bigInteger], note: ["text", t.text] } },
});

test("generated tables: columns that came later are left out, those that were not there yet throw when they are read", () => {
  const decoder = decoderOf(tables, [schema(1, ID), schema(2, ID, ["note", "text", 25], ["extra", "text", 25])]);
  expect(decoder.decode(at(insert(2, { id: "7", note: "n", extra: "e" }), 2)).after).toEqual({ id: 7n, note: "n" });
  const { after } = decoder.decode(at(insert(1, { id: "7" }), 1));
  expect(after).toEqual({ id: 7n });
  expect("note" in after).toBe(false);
  expect(codeOf(() => after.note)).toBe("COLUMN_ABSENT");
});

test("generated tables: a column that is gone is TYPES_OUTDATED, before any handler sees the event", () => {
  const decoder = decoderOf(tables, [schema(1, ID, ["note", "text", 25]), schema(2, ID)]);
  expect(codeOf(() => decoder.decode(at(insert(1, { id: "7" }), 2)))).toBe("TYPES_OUTDATED");
});

test.each([
  ["text as varchar", "varchar", 1043, "n", "n"],
  ["text of what was a number", "int4", 23, 5, "5"],
  ["text of what was an enum", "public.mood", 70_000, "calm", "calm"],
])("generated tables take %s", (_, type, oid, value, decoded) => {
  const decoder = decoderOf(tables, [schema(1, ID, ["note", type, oid])]);
  expect(decoder.decode(at(insert(1, { id: "7", note: value }), 1)).after.note).toBe(decoded);
});

test("generated tables take whole numbers that have grown, and no other type for another", () => {
  const [small, other] = [schema(1, ["id", "int4", 23]), schema(2, ["id", "numeric", 1700])];
  const decoder = decoderOf(tables, [small, other]);
  expect(decoder.decode(at(insert(1, { id: 7 }), 1)).after.id).toBe(7n);
  expect(codeOf(() => decoder.decode(at(insert(2, { id: "7" }), 2)))).toBe("TYPES_OUTDATED");
});

test("unchanged columns throw when they are read, in events as they are too", () => {
  const decoder = decoderOf(null, [schema(1, ID, ["note", "text", 25])]);
  const { after } = decoder.decode(at(update(1, { id: "7" }, ["note"]), 1));
  expect(codeOf(() => after.note)).toBe("COLUMN_UNCHANGED");
});

test("a value that can't be decoded is named by its column, and not shown", () => {
  const decoder = decoderOf(null, [schema(1, ID, ["note", "timestamptz", 1184])]);
  const run = () => decoder.decode(at(insert(1, { id: "7", note: "infinity" }), 1));
  expect(codeOf(run)).toBe("VALUE_UNREPRESENTABLE");
  expect(run).toThrow(`Column note of ${TABLE}.`);
});

test("a column named __proto__ is a column", () => {
  const decoder = decoderOf(null, [schema(1, ID, ["__proto__", "int4", 23])]);
  const row = JSON.parse('{"id":"7","__proto__":5}');
  expect(Object.entries((decoder.decode(remove(1, row)) as DeleteEvent).before)).toEqual([
    ["id", 7n],
    ["__proto__", 5],
  ]);
});

test("an event that names another table's schema is refused; one whose schema is not known yet waits", () => {
  const decoder = decoderOf(null, [{ ...schema(1, ID), table: "public.other" }]);
  expect(codeOf(() => decoder.decode(insert(1, { id: "7" })))).toBe("STREAM_INCONSISTENT");
  expect([decoder.knows(insert(1, { id: "7" })), decoder.knows(at(insert(1, { id: "7" }), 2))]).toEqual([true, false]);
});
