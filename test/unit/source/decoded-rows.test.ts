// Rows that the driver could not decode.
import { expect, test } from "vitest";
import { checkDecoded, doubtfulPlaces } from "../../../src/source/decoded-rows.ts";

const table = { schema: "public", table: "t" };

test("bytes that are no text are refused by a code, where they can be told from a sign that somebody wrote", () => {
  expect(() => checkDecoded(table, ["a\uFFFD", null, "b"], [1, 2])).not.toThrow();
  expect(() => checkDecoded(table, ["a", null, "\uFFFD"], [1, 2])).toThrow(
    expect.objectContaining({ code: "TEXT_UNDECODABLE", message: expect.stringContaining("public.t") }),
  );
});

test("only a database without an encoding, and single bytes, may hold them", () => {
  const types = { a: "text", b: '"char"', c: '"char"[]' };
  const columns = new Map(Object.entries(types).map(([name, type]) => [name, { type, oid: 1, collation: 0 }]));
  expect(doubtfulPlaces(["a", "b", "c"], { asciiOnly: false, columns })).toEqual([1, 2]);
  expect(doubtfulPlaces(["a", "b", "c"], { asciiOnly: true, columns })).toEqual([0, 1, 2]);
});
