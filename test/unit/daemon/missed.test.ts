// Which differences between two records of a table mean that rows changed, or went by, without an event.
import { describe, expect, test } from "vitest";
import { missedError, oddNames, whatWasMissed } from "../../../src/daemon/missed.ts";
import { SnapshotBook } from "../../../src/daemon/snapshot-book.ts";
import { RowEncoder } from "../../../src/event/row-encoder.ts";
import type { RowsState, TableSchema } from "../../../src/event/schema.ts";
import { rowEncoder } from "../event/tables.ts";

const ROWS: RowsState = {
  file: 100,
  toast: 7,
  columns: "c",
  filled: [3],
  types: { 1: 23, 2: 25, 3: 1114 },
  names: { 1: "id", 2: "n", 3: "at", 4: "gone" },
  place: "own",
  parts: "",
  composites: { 8: "x" },
  enums: { 9: ["a", "b"] },
};
const { schema: plain } = rowEncoder([
  ["id", "int4"],
  ["n", "int4"],
]);
const BEFORE: TableSchema = { ...plain, publicationRel: 50, rows: ROWS };
const withRows = (rows: Partial<RowsState>): TableSchema => ({ ...BEFORE, schema: 2, rows: { ...ROWS, ...rows } });
const keyed = (...names: string[]): TableSchema => ({
  ...BEFORE,
  schema: 2,
  columns: BEFORE.columns.map((column) => ({ ...column, key: names.indexOf(column.name) + 1 || null })),
});

describe("two records of a table", () => {
  test.each<[string, Partial<RowsState>]>([
    ["the same", {}],
    ["a file of its own after VACUUM FULL, or TRUNCATE", { file: 101, toast: 8 }],
    ["columns that were altered in place", { columns: "other" }],
    ["a column with a value that is gone again", { filled: [] }],
    ["text, now varchar, and a column that is gone", { columns: "other", types: { 1: 23, 2: 1043 } }],
    ["a composite type that is used no more, and another one", { columns: "other", composites: { 7: "x" } }],
    [
      "a column dropped, and one added",
      { columns: "other", types: { 1: 23, 2: 25, 5: 25 }, names: { ...ROWS.names, 5: "x" } },
    ],
    ["a state without names", { columns: "other", names: undefined }],
    ["a value added to an enum, and an enum that is used no more", { enums: { 9: ["a", "b", "c"], 10: ["x"] } }],
  ])("%s: nothing was missed", (_, rows) => {
    expect(whatWasMissed(BEFORE, withRows(rows))).toBeNull();
  });

  test.each<[string, TableSchema, string]>([
    ["rewritten", withRows({ file: 101, columns: "other" }), "TABLE_REWRITTEN"],
    ["a column added with a value", withRows({ columns: "other", filled: [3, 4] }), "TABLE_REWRITTEN"],
    [
      "a type that keeps the bytes and not their text",
      withRows({ types: { 1: 23, 2: 25, 3: 1184 } }),
      "TABLE_REWRITTEN",
    ],
    ["a composite type's attributes", withRows({ composites: { 8: "y" } }), "TABLE_REWRITTEN"],
    ["an enum's value renamed", withRows({ enums: { 9: ["a", "z"] } }), "TABLE_REWRITTEN"],
    ["other partitions", withRows({ parts: "other" }), "TABLE_REWRITTEN"],
    ["detached and attached", withRows({ place: "other" }), "TABLE_REPUBLISHED"],
    ["a column renamed", withRows({ columns: "other", names: { ...ROWS.names, 2: "m" } }), "TABLE_REWRITTEN"],
    ["names swapped", withRows({ columns: "other", names: { ...ROWS.names, 2: "at", 3: "n" } }), "TABLE_REWRITTEN"],
    [
      "a column added by the name of one that was dropped just now",
      withRows({ types: { 1: 23, 3: 1114, 5: 25 }, names: { ...ROWS.names, 5: "n" } }),
      "TABLE_REWRITTEN",
    ],
    [
      "a column added by the name of one that was dropped long ago",
      withRows({ types: { ...ROWS.types, 5: 25 }, names: { ...ROWS.names, 5: "gone" } }),
      "TABLE_REWRITTEN",
    ],
    ["another row of the publication", { ...BEFORE, publicationRel: 51 }, "TABLE_REPUBLISHED"],
    ["another table", { ...BEFORE, oid: BEFORE.oid + 1 }, "TABLE_REPUBLISHED"],
    ["another key", keyed("n"), "KEY_CHANGED"],
    ["no key", keyed(), "KEY_CHANGED"],
    ["another table, and no key", { ...keyed(), oid: BEFORE.oid + 1 }, "KEY_CHANGED"],
  ])("%s: %#", (_, now, code) => {
    const missed = whatWasMissed(BEFORE, now);
    expect(missed?.code).toBe(code);
    expect(missedError("public.t", missed!)).toMatchObject({ code });
  });

  test("one that the publication doesn't name may have been UNLOGGED, unless its TOAST table tells of a TRUNCATE", () => {
    const before = withRows({ place: "" });
    expect(whatWasMissed(before, withRows({ place: "", file: 101 }))).toBeNull();
    expect(whatWasMissed(before, withRows({ place: "", file: 101, toast: 8 }))?.code).toBe("TABLE_REWRITTEN");
    expect(whatWasMissed(withRows({ place: "", toast: 0 }), withRows({ place: "", file: 101, toast: 0 }))?.code).toBe(
      "TABLE_REWRITTEN",
    );
  });

  test("left the publication: nothing yet; excluded and captured again: republished", () => {
    expect(whatWasMissed(BEFORE, { ...BEFORE, publicationRel: null })).toBeNull();
    expect(whatWasMissed({ ...BEFORE, publicationRel: 0 }, { ...BEFORE, publicationRel: null })?.code).toBe(
      "TABLE_REPUBLISHED",
    );
  });

  test("a column of the key that is renamed is left to the first row with the new key", () => {
    const names = { ...ROWS.names, 1: "number" };
    expect(whatWasMissed(keyed("id"), { ...keyed("id"), rows: { ...ROWS, columns: "other", names } })).toBeNull();
  });

  test.each<[string, string[], string[], boolean]>([
    ["as the catalogue has them", ["id", "m"], ["id", "n", "at"], false],
    ["the same as before, which the catalogue calls otherwise by now", ["id", "m"], ["id", "m"], false],
    ["with a column that was dropped since", ["id", "gone", "n"], ["id", "gone", "n", "at"], false],
    ["by a name that the catalogue doesn't know", ["id", "n"], ["id", "m"], true],
    ["with one at the end that was added and dropped", ["id", "n", "at"], ["id", "n", "at", "m"], false],
    ["the first of two under another name", ["id", "n", "at"], ["id", "m", "at"], true],
    ["in another order", ["id", "n", "at"], ["id", "at", "n"], true],
  ])("rows that come with names %s", (_, had, has, isOdd) => {
    const [id] = BEFORE.columns;
    const named = (names: string[]) => ({ ...BEFORE, columns: names.map((name) => ({ ...id!, name })) });
    const missed = oddNames(named(had), { ...named(has), rows: { ...ROWS } });
    expect(missed?.code ?? null).toBe(isOdd ? "TABLE_REWRITTEN" : null);
    expect(oddNames(named(had), named(has))).toBeNull(); // nothing was read from the catalogue
  });

  test("a record of a version that kept nothing of the rows proves nothing", () => {
    expect(whatWasMissed({ ...BEFORE, rows: undefined }, withRows({ file: 101, columns: "other" }))).toBeNull();
  });
});

describe("the book", () => {
  const captured = (schema: TableSchema) => ({ encoder: new RowEncoder(schema), topic: "t", partitions: 1 });
  const before = captured({ ...keyed("id"), schema: 1 });
  const begun = (onRewrite: "snapshot" | "halt" = "snapshot") => {
    const book = new SnapshotBook([], [before], [], { snapshot: "never", onRewrite });
    const told: unknown[] = [];
    book.onBegun = (oid, why) => told.push([oid, why]);
    return { book, told };
  };

  test("begins a snapshot once for each difference, and not for an older version that is still in use", () => {
    const { book, told } = begun();
    book.announced(captured({ ...withRows({ parts: "x" }), columns: before.encoder.schema.columns }));
    expect(book.state).toMatchObject([{ oid: BEFORE.oid, since: null, ranges: [{ after: null, upTo: null }] }]);
    book.announced(before);
    book.announced(before);
    expect(told).toEqual([[BEFORE.oid, "its partitions were attached, detached or rewritten"]]);
  });

  test("begins anew under a new name, and under the old one again", () => {
    const { book, told } = begun();
    book.announced(captured({ ...keyed("id"), schema: 2, table: "public.u" }));
    book.announced(captured({ ...keyed("id"), schema: 3 }));
    expect(told).toEqual([
      [BEFORE.oid, `it was called ${BEFORE.table} before`],
      [BEFORE.oid, "it was called public.u before"],
    ]);
    expect(book.state.map(({ table }) => table)).toEqual([BEFORE.table]);
  });

  test("halts where reading is not wanted, or not possible without a key", () => {
    const { book } = begun("halt");
    expect(() => book.announced(captured(keyed("n")))).toThrow(expect.objectContaining({ code: "KEY_CHANGED" }));
    expect(() => begun().book.announced(captured(keyed()))).toThrow(expect.objectContaining({ code: "KEY_CHANGED" }));
  });
});
