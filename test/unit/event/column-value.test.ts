// Values on the wire: native JSON where that is lossless, else Postgres's own text.
import { expect, test } from "vitest";
import { encodeValue, jsonFormOf } from "../../../src/event/column-value.ts";
import { TYPE, type TypeName } from "./tables.ts";

const encode = (value: string | null, type: TypeName) => encodeValue(value, jsonFormOf(TYPE[type]));

test.each([
  ["bool", "t", "true"],
  ["bool", "f", "false"],
  ["int2", "-32768", "-32768"],
  ["int4", "2147483647", "2147483647"],
  ["oid", "4294967295", "4294967295"],
  ["float4", "0.1", "0.1"],
  ["float8", "-0", "-0"],
  ["float8", "1e-07", "1e-07"],
  ["float8", "1.7976931348623157e+308", "1.7976931348623157e+308"],
  ["float8", "5e-324", "5e-324"],
  ["float8", "NaN", '"NaN"'],
  ["float4", "Infinity", '"Infinity"'],
  ["float8", "-Infinity", '"-Infinity"'],
  ["int8", "9007199254740993", '"9007199254740993"'],
  ["numeric", "1.10", '"1.10"'],
  ["numeric", "NaN", '"NaN"'],
  ["json", '{"a": 1, "a": 2}', '"{\\"a\\": 1, \\"a\\": 2}"'],
  ["timestamptz", "infinity", '"infinity"'],
  ["text", "", '""'],
  ["text", "null", '"null"'],
  ["text", 'quote " backslash \\ tab \t', '"quote \\" backslash \\\\ tab \\t"'],
  ["text", "\u2028 \u{1f600} \ufffd \ufeff", '"\u2028 \u{1f600} \ufffd \ufeff"'],
] as const)("%s %j", (type, text, json) => {
  expect(encode(text, type)).toBe(json);
  const read = JSON.parse(json);
  if (typeof read === "number") {
    expect(Object.is(read, Number(text))).toBe(true);
  } else if (typeof read === "string") {
    expect(read).toBe(text);
  }
});

test.each(["bool", "int2", "int4", "oid", "float8", "text", "json"] as const)("null of %s is null", (type) => {
  expect(encode(null, type)).toBe("null");
});

test("a type that is not known is text", () => {
  expect(jsonFormOf(99_999)).toBe("text");
  // Arrays, domains and composites have OIDs of their own.
  expect(jsonFormOf(1007)).toBe("text");
});
