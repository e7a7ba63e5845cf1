// The text of a row: no two rows share one, and its tokens come back.
import fc from "fast-check";
import { expect, test } from "vitest";
import { convertToken, keyToken, splitRow, UNKNOWN_TOKEN, valueToken } from "../../../src/verify/canonical.ts";

const [INT4, TEXT, FLOAT4, FLOAT8, NUMERIC] = [23, 25, 700, 701, 1700];

test("tokens tell null, empty and what looks like a token apart", () => {
  const values = [null, "", "~", "?", "#", "0:", "1:a", "a,b", "NaN", "ä".repeat(32), "ä".repeat(33)];
  expect(new Set(values.map((value) => valueToken(value, TEXT))).size).toBe(values.length);
  expect(valueToken("ä".repeat(32), TEXT)).toBe(`64:${"ä".repeat(32)}`);
  expect(valueToken("ä".repeat(33), TEXT)).toMatch(/^#[0-9a-f]{64}$/);
});

test("floating-point numbers are compared by their bits, and NaN is one value", () => {
  expect(valueToken(0, FLOAT8)).not.toBe(valueToken(-0, FLOAT8));
  expect(valueToken(0.1, FLOAT4)).toBe("3dcccccd");
  expect(valueToken("-Infinity", FLOAT8)).toBe("fff0000000000000");
  expect(valueToken("NaN", FLOAT8)).toBe("NaN");
  expect(keyToken("-0")).toBe("2:-0");
});

const column = fc.oneof(
  fc.record({ oid: fc.constantFrom(TEXT, NUMERIC), value: fc.option(fc.string({ unit: "grapheme", maxLength: 90 })) }),
  fc.record({ oid: fc.constant(INT4), value: fc.option(fc.integer()) }),
  fc.record({ oid: fc.constantFrom(FLOAT4, FLOAT8), value: fc.option(fc.double()) }),
);

test("a row's tokens come back, unknown ones too", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(column, fc.boolean()), { minLength: 1, maxLength: 8 }), (drawn) => {
      const columns = drawn.map(([{ oid }], at) => ({ name: `c${at}`, oid }));
      const tokens = drawn.map(([{ oid, value }, unknown]) => (unknown ? UNKNOWN_TOKEN : valueToken(value, oid)));
      expect(splitRow(tokens.join(","), columns)).toEqual(tokens);
    }),
  );
});

test("tokens of a column that got another type are what the same value has there", () => {
  expect(convertToken(valueToken(7, INT4), INT4, TEXT)).toBe(valueToken("7", TEXT));
  expect(convertToken(valueToken("7", NUMERIC), NUMERIC, INT4)).toBe(valueToken(7, INT4));
  expect(convertToken(valueToken(7, INT4), INT4, FLOAT8)).toBe(valueToken(7, FLOAT8));
  expect(convertToken(valueToken("7", TEXT), TEXT, NUMERIC)).toBe(valueToken("7", NUMERIC));
  expect(convertToken(valueToken(null, INT4), INT4, TEXT)).toBe("~");
});
