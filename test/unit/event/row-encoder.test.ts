// Rows and keys as JSON, from ordered pairs.
import { describe, expect, test } from "vitest";
import { UNCHANGED } from "../../../src/event/column-value.ts";
import { rowEncoder } from "./tables.ts";

describe("rows", () => {
  test("keep the table's column order, whatever the names", () => {
    const encoder = rowEncoder([
      ["b", "text"],
      ["1", "int4"],
      ["__proto__", "text"],
      ["0", "text"],
      ["constructor", "bool"],
      ["", "text"],
      ['q"', "text"],
    ]);
    expect(encoder.row(["x", "7", "p", null, "t", "e", "q"])).toBe(
      '{"b":"x","1":7,"__proto__":"p","0":null,"constructor":true,"":"e","q\\"":"q"}',
    );
  });

  test("three states: value, null, unchanged", () => {
    const encoder = rowEncoder([
      ["id", "int4"],
      ["a", "text"],
      ["b", "text"],
      ["c", "text"],
    ]);
    expect(encoder.row(["1", UNCHANGED, null, ""])).toBe('{"id":1,"b":null,"c":""}');
    expect(encoder.unchanged(["1", UNCHANGED, null, ""])).toEqual(["a"]);
    expect(encoder.row([UNCHANGED, UNCHANGED, UNCHANGED, UNCHANGED])).toBe("{}");
    expect(encoder.row([UNCHANGED, "x", UNCHANGED, "y"])).toBe('{"a":"x","c":"y"}');
  });
});

describe("keys", () => {
  const encoder = rowEncoder(
    [
      ["b", "text"],
      ["n", "int8"],
      ["a", "int4"],
      ["flag", "bool"],
    ],
    { key: ["flag", "a", "b"] },
  );

  test("stand in key order, as values in the event and as text in the record", () => {
    const row = ["x", "5", "-7", "t"];
    expect(encoder.keyPlaces).toEqual([3, 2, 0]);
    expect(encoder.key(row)).toBe('{"flag":true,"a":-7,"b":"x"}');
    expect(encoder.recordKey(row)).toBe('{"flag":"t","a":"-7","b":"x"}');
  });

  test("an int that becomes a bigint keeps its record key", () => {
    const narrow = rowEncoder([["id", "int4"]]);
    const wide = rowEncoder([["id", "int8"]]);
    expect(narrow.recordKey(["7"])).toBe(wide.recordKey(["7"]));
    expect(narrow.key(["7"])).not.toBe(wide.key(["7"]));
  });

  test("a keyless table has none", () => {
    const keyless = rowEncoder([["a", "int4"]], { key: [] });
    expect(keyless.hasKey).toBe(false);
    expect(keyless.key(["1"])).toBe("null");
    expect(keyless.recordKey(["1"])).toBeNull();
  });

  test("a key column without value is never left out", () => {
    expect(() => encoder.key(["x", "5", UNCHANGED, "t"])).toThrow(TypeError);
    expect(() => encoder.recordKey([UNCHANGED, "5", "1", "t"])).toThrow(TypeError);
    expect(encoder.key(["x", UNCHANGED, "1", "t"])).toBe('{"flag":true,"a":1,"b":"x"}');
  });
});
