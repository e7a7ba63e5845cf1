// The key of a table under every replica identity, and what may not change about it.
import { describe, expect, test } from "vitest";
import { type CatalogFacts, keyOf, sameShape, shapeOf } from "../../../src/capture/table-shape.ts";
import type { ReplicaIdentity, TableSchema } from "../../../src/event/schema.ts";
import type { Relation } from "../../../src/pgoutput/messages.ts";
import { lsn, TYPE } from "../event/tables.ts";

const TYPES = new Map<number, string>([
  [TYPE.int4, "int4"],
  [TYPE.text, "text"],
]);

/** Columns a, b and c; `marked` are those that pgoutput marks as identity. */
function relation(identity: ReplicaIdentity, marked: string, names = "abc"): Relation {
  const columns = [...names].map((name) => ({
    name,
    typeOid: TYPE.int4 as number,
    typmod: -1,
    identity: marked.includes(name),
  }));
  return { kind: "relation", oid: 7, schema: "public", table: "t", identity, columns };
}

function facts(keys: { primary?: string; index?: string; immediate?: boolean } = {}): CatalogFacts {
  const index = (names: string | undefined) =>
    names === undefined ? null : { columns: [...names], immediate: keys.immediate ?? true };
  return {
    publicationRel: 99,
    primaryKey: index(keys.primary),
    identityIndex: index(keys.index),
    readAt: lsn(0x500),
  };
}

const shape = (of: Relation, from: CatalogFacts | null, previous: TableSchema | null = null, keyless = false) =>
  shapeOf(of, from, previous, TYPES, keyless);
const stored = (of: ReturnType<typeof shape>): TableSchema => ({ ...of, schema: 3, topicId: "topic" });
const halts = (code: string) => expect.objectContaining({ code });

describe("the key", () => {
  test.each<[string, Relation, CatalogFacts, string]>([
    ["DEFAULT: the primary key, in its own order", relation("d", "ab"), facts({ primary: "ba" }), "ba"],
    ["DEFAULT: not an index that is no primary key", relation("d", "ab"), facts({ primary: "ab", index: "ba" }), "ab"],
    ["DEFAULT without a primary key", relation("d", ""), facts(), ""],
    [
      "DEFAULT, when the catalogue is later than the WAL: what pgoutput marked",
      relation("d", "bc"),
      facts({ primary: "a" }),
      "bc",
    ],
    ["USING INDEX: the index, in its own order", relation("i", "bc"), facts({ primary: "a", index: "cb" }), "cb"],
    ["FULL: the primary key, though every column is marked", relation("f", "abc"), facts({ primary: "cb" }), "cb"],
    ["FULL without a primary key: none", relation("f", "abc"), facts(), ""],
    ["FULL: not an index that is no primary key", relation("f", "abc"), facts({ index: "a" }), ""],
    ["NOTHING: none", relation("n", ""), facts({ primary: "a" }), ""],
  ])("%s", (_, of, from, key) => {
    expect(keyOf(shape(of, from))).toEqual([...key]);
  });

  test("keyless is keyless, whatever there is", () => {
    for (const of of [relation("d", "a"), relation("i", "a"), relation("f", "abc")]) {
      expect(keyOf(shape(of, facts({ primary: "a", index: "a", immediate: false }), null, true))).toEqual([]);
    }
  });

  test("a deferrable primary key under FULL is refused, unless declared keyless", () => {
    expect(() => shape(relation("f", "abc"), facts({ primary: "a", immediate: false }))).toThrow(
      halts("KEY_DEFERRABLE"),
    );
  });

  test.each<[string, Relation, CatalogFacts]>([
    ["FULL", relation("f", "ab", "ab"), facts({ primary: "ac" })],
    ["DEFAULT", relation("d", "a", "ab"), facts({ primary: "ac" })],
    ["USING INDEX", relation("i", "a", "ab"), facts({ index: "ca" })],
  ])("a column list that leaves out a part of it is refused: %s", (_, of, from) => {
    expect(() => shape(of, from)).toThrow(halts("KEY_NOT_SENT"));
    expect(keyOf(shape(of, from, null, true))).toEqual([]);
  });
});

describe("a table that was recorded before", () => {
  const before = stored(shape(relation("d", "ab"), facts({ primary: "ba" })));

  test("keeps its key's order when the catalogue no longer has it", () => {
    expect(keyOf(shape(relation("d", "ab"), facts({ primary: "c" }), before))).toEqual(["b", "a"]);
    expect(keyOf(shape(relation("d", "ab"), null, before))).toEqual(["b", "a"]);
  });

  test("another identity with the same key is no other key", () => {
    expect(keyOf(shape(relation("f", "abc"), facts({ primary: "ba" }), before))).toEqual(["b", "a"]);
    expect(keyOf(shape(relation("i", "ab"), facts({ index: "ba" }), before))).toEqual(["b", "a"]);
  });

  test.each<[string, Relation, CatalogFacts, boolean, string]>([
    ["other columns", relation("d", "ac"), facts({ primary: "ac" }), false, "ac"],
    ["fewer", relation("d", "a"), facts({ primary: "a" }), false, "a"],
    ["none", relation("d", ""), facts(), false, ""],
    ["another order under FULL", relation("f", "abc"), facts({ primary: "ab" }), false, "ab"],
    ["a renamed column", relation("d", "ax", "axc"), facts({ primary: "xa" }), false, "xa"],
    ["declared keyless", relation("d", "ab"), facts({ primary: "ba" }), true, ""],
  ])("has the key that its rows have now: %s", (_, of, from, keyless, key) => {
    expect(keyOf(shape(of, from, before, keyless))).toEqual([...key]);
  });

  test("under FULL rows that are older than the catalogue's key keep the one before", () => {
    const full = stored(shape(relation("f", "abc"), facts({ primary: "ba" })));
    expect(keyOf(shape(relation("f", "abc"), facts({ primary: "x" }), full))).toEqual(["b", "a"]);
  });

  test("under FULL rows that are older than the catalogue and the record have the key that is known otherwise", () => {
    const keyWith = (from: CatalogFacts | null, previous: TableSchema | null) =>
      keyOf(shapeOf(relation("f", "abc"), from, previous, TYPES, false, ["c"]));
    const renamed = { ...before, columns: before.columns.map((column) => ({ ...column, name: `new_${column.name}` })) };
    expect(keyWith(facts({ primary: "x" }), null)).toEqual(["c"]);
    expect(keyWith(facts({ primary: "x" }), renamed)).toEqual(["c"]);
    expect(keyWith(facts({ primary: "x" }), before)).toEqual(["b", "a"]);
    expect(keyWith(facts({ primary: "a" }), before)).toEqual(["a"]);
    expect(keyWith(null, renamed)).toEqual(["c"]);
    expect(keyWith(null, null)).toEqual(["c"]);
  });

  test("a key column that the publication no longer sends halts", () => {
    const whole = stored(shape(relation("f", "abc"), facts({ primary: "ac" })));
    expect(() => shape(relation("f", "ab", "ab"), facts({ primary: "ac" }), whole)).toThrow(halts("KEY_NOT_SENT"));
  });

  test("goes on with what is stored once it is dropped", () => {
    const full = stored(shape(relation("f", "abc"), facts({ primary: "ba" })));
    expect(shape(relation("f", "abc"), null, full)).toEqual({
      table: "public.t",
      oid: 7,
      publicationRel: 99,
      identity: "f",
      readAt: lsn(0x500),
      columns: full.columns,
    });
  });
});

describe("dropped before it was ever recorded", () => {
  test("halts under FULL, where only the catalogue knew the key", () => {
    expect(() => shape(relation("f", "abc"), null)).toThrow(halts("TABLE_DROPPED"));
    expect(keyOf(shape(relation("f", "abc"), null, null, true))).toEqual([]);
  });

  test.each<[ReplicaIdentity, string]>([
    ["d", "bc"],
    ["i", "b"],
    ["n", ""],
  ])("identity %s: goes on with the key that pgoutput marked", (identity, marked) => {
    const gone = shape(relation(identity, marked), null);
    expect(keyOf(gone)).toEqual([...marked]);
    expect(gone).toMatchObject({ publicationRel: null, readAt: 0n });
  });
});

test("the shape names the types, and the table as events do", () => {
  const of = relation("d", "b");
  const odd = {
    ...of,
    schema: "a.b",
    table: 'T"',
    columns: [{ ...of.columns[0]!, typeOid: 4_000_000_000, typmod: 8 }, of.columns[1]!],
  };
  expect(shape(odd, facts({ primary: "b" }))).toEqual({
    table: '"a.b"."T"""',
    oid: 7,
    publicationRel: 99,
    identity: "d",
    readAt: lsn(0x500),
    columns: [
      { name: "a", type: "oid 4000000000", oid: 4_000_000_000, typmod: 8, key: null },
      { name: "b", type: "int4", oid: 23, typmod: -1, key: 1 },
    ],
  });
});

describe("sameShape", () => {
  const one = stored(shape(relation("d", "ab"), facts({ primary: "ba" })));
  const column = (change: object) => ({
    ...one,
    columns: [{ ...one.columns[0]!, ...change }, ...one.columns.slice(1)],
  });

  test("does not look at its id, at where it was read, nor at how the type is called", () => {
    expect(sameShape(one, { ...column({ type: "integer" }), schema: 9, readAt: lsn(1) } as TableSchema)).toBe(true);
  });

  test.each<[string, TableSchema]>([
    ["oid", { ...one, oid: 8 }],
    ["publicationRel", { ...one, publicationRel: null }],
    ["topicId", { ...one, topicId: "other" }],
    ["identity", { ...one, identity: "f" }],
    ["column name", column({ name: "z" })],
    ["column type", column({ oid: 20 })],
    ["column typmod", column({ typmod: 4 })],
    ["key", column({ key: null })],
    ["one column less", { ...one, columns: one.columns.slice(1) }],
    ["column order", { ...one, columns: [one.columns[1]!, one.columns[0]!, one.columns[2]!] }],
  ])("looks at the %s", (_, other) => {
    expect(sameShape(one, other)).toBe(false);
    expect(sameShape(other, one)).toBe(false);
  });
});
