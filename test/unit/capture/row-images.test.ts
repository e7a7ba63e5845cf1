// Tuples as Postgres sends them → row changes: what fills an unchanged value, and when a key has changed.
import { describe, expect, test } from "vitest";
import { rowChanges } from "../../../src/capture/row-images.ts";
import { UNCHANGED } from "../../../src/event/column-value.ts";
import type { Tuple } from "../../../src/pgoutput/messages.ts";
import { rowEncoder } from "../event/tables.ts";

const table = rowEncoder([
  ["id", "numeric"],
  ["price", "numeric"],
  ["body", "text"],
]);
const keyless = rowEncoder(
  [
    ["id", "numeric"],
    ["price", "numeric"],
    ["body", "text"],
  ],
  { key: [] },
);

const insert = (values: Tuple, encoder = table) => rowChanges({ kind: "insert", relation: 1, new: values }, encoder);
const update = (old: [form: "key" | "whole", values: Tuple] | null, values: Tuple, encoder = table) =>
  rowChanges({ kind: "update", relation: 1, old: old && { form: old[0], values: old[1] }, new: values }, encoder);
const remove = (form: "key" | "whole", values: Tuple, encoder = table) =>
  rowChanges({ kind: "delete", relation: 1, old: { form, values } }, encoder);

test("an insert is the row", () => {
  expect(insert(["1", null, "b"])).toEqual([{ operation: "insert", new: ["1", null, "b"], previousKey: null }]);
});

describe("update", () => {
  test("without an old row: unchanged stays unchanged", () => {
    expect(update(null, ["1", "2.50", UNCHANGED])).toEqual([
      { operation: "update", old: null, new: ["1", "2.50", UNCHANGED] },
    ]);
  });

  test("under FULL it is filled from the old row, null included", () => {
    const old: Tuple = ["1", "1.50", null];
    expect(update(["whole", ["1", "1.50", "body"]], ["1", "2.50", UNCHANGED])).toEqual([
      { operation: "update", old: ["1", "1.50", "body"], new: ["1", "2.50", "body"] },
    ]);
    expect(update(["whole", old], ["1", "2.50", UNCHANGED])).toEqual([
      { operation: "update", old, new: ["1", "2.50", null] },
    ]);
  });

  test("from a key tuple only the key is filled: its other nulls are not values", () => {
    expect(update(["key", ["1", null, null]], [UNCHANGED, "2.50", UNCHANGED])).toEqual([
      { operation: "update", old: null, new: ["1", "2.50", UNCHANGED] },
    ]);
  });

  test("a key tuple with the same key is no key change and no before", () => {
    expect(update(["key", ["1", null, null]], ["1", "2.50", "b"])).toEqual([
      { operation: "update", old: null, new: ["1", "2.50", "b"] },
    ]);
  });

  test("a keyless table has no key to change", () => {
    expect(update(["whole", ["1", "2", "a"]], ["2", "2", UNCHANGED], keyless)).toEqual([
      { operation: "update", old: ["1", "2", "a"], new: ["2", "2", "a"] },
    ]);
    expect(update(["key", ["1", null, null]], ["2", "2", UNCHANGED], keyless)).toEqual([
      { operation: "update", old: null, new: ["2", "2", UNCHANGED] },
    ]);
  });
});

describe("key change", () => {
  test("is a delete with the next key and an insert with the previous one", () => {
    const old: Tuple = ["1", null, null];
    const row: Tuple = ["2", "2.50", "b"];
    expect(update(["key", old], row)).toEqual([
      { operation: "delete", old, oldIsWhole: false, nextKey: row, unchanged: [] },
      { operation: "insert", new: row, previousKey: old },
    ]);
  });

  test("both halves say what is unchanged", () => {
    const [gone, come] = update(["key", ["1", null, null]], ["2", UNCHANGED, UNCHANGED]);
    expect(gone).toMatchObject({ unchanged: ["price", "body"] });
    expect(come).toMatchObject({ new: ["2", UNCHANGED, UNCHANGED] });
  });

  test("under FULL nothing is left unchanged", () => {
    const [gone, come] = update(["whole", ["1", "1.50", "body"]], ["2", "2.50", UNCHANGED]);
    expect(gone).toMatchObject({ oldIsWhole: true, unchanged: [], nextKey: ["2", "2.50", "body"] });
    expect(come).toMatchObject({ new: ["2", "2.50", "body"] });
  });

  test("the text decides: 1.0 and 1.00 are two record keys", () => {
    expect(update(["key", ["1.0", null, null]], ["1.00", "2", "b"]).map(({ operation }) => operation)).toEqual([
      "delete",
      "insert",
    ]);
  });

  test("any column of a key of several", () => {
    const wide = rowEncoder(
      [
        ["a", "int4"],
        ["b", "text"],
        ["c", "int4"],
      ],
      { key: ["c", "a"] },
    );
    expect(update(["key", ["1", null, "3"]], ["1", "x", "4"], wide)).toHaveLength(2);
    expect(update(["key", ["1", null, "3"]], ["2", "x", "3"], wide)).toHaveLength(2);
    expect(update(["whole", ["1", "w", "3"]], ["1", "x", "3"], wide)).toHaveLength(1);
  });
});

test("a delete says whether it holds the whole row", () => {
  expect(remove("key", ["1", null, null])).toEqual([
    { operation: "delete", old: ["1", null, null], oldIsWhole: false, nextKey: null, unchanged: [] },
  ]);
  expect(remove("whole", ["1", null, "b"])).toMatchObject([{ oldIsWhole: true }]);
});

describe("refusals", () => {
  test.each([
    ["insert", () => insert([UNCHANGED, "1", "b"])],
    ["update", () => update(null, [UNCHANGED, "1", "b"])],
    ["update with an old row that lacks it too", () => update(["key", [UNCHANGED, null, null]], [UNCHANGED, "1", "b"])],
    ["old key of a key change", () => update(["key", [UNCHANGED, null, null]], ["2", "1", "b"])],
    ["delete", () => remove("whole", [UNCHANGED, "1", "b"])],
  ])("a key column that was not sent: %s", (_, change) => {
    expect(change).toThrow(expect.objectContaining({ code: "KEY_NOT_SENT" }));
  });

  test.each([
    ["an insert that is too narrow", () => insert(["1", "2"])],
    ["an insert that is too wide", () => insert(["1", "2", "3", "4"])],
    ["an update", () => update(null, ["1"])],
    ["the old row of an update", () => update(["whole", ["1", "2"]], ["1", "2", "3"])],
    ["a delete", () => remove("key", ["1"])],
  ])("another number of columns than was announced: %s", (_, change) => {
    expect(change).toThrow(expect.objectContaining({ code: "PGOUTPUT_MALFORMED" }));
  });
});
