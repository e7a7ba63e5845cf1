// What a chunk's rows may not hold, and where the stream has to be before they are put into it.
import { expect, test } from "vitest";
import { checkDecoded } from "../../../src/source/snapshot-reader.ts";

const table = { schema: "public", table: "t" };

test("bytes that are no text are refused by a code, where they can be told from a sign that somebody wrote", () => {
  expect(() => checkDecoded(table, ["a\uFFFD", null, "b"], [1, 2])).not.toThrow();
  expect(() => checkDecoded(table, ["a", null, "\uFFFD"], [1, 2])).toThrow(
    expect.objectContaining({ code: "TEXT_UNDECODABLE", message: expect.stringContaining("public.t") }),
  );
});
