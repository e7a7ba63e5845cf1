// The wire form is a promise to readers that were built earlier: it changes only together with its version number.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { z } from "zod";
import { MESSAGE, RESERVED, WRITTEN } from "./wire-events.ts";

const text = readFileSync(new URL("../../docs/wire-v1.schema.json", import.meta.url), "utf8");
const schema = z.fromJSONSchema(JSON.parse(text));

/** Of the schema and of what the encoder writes, by version. A version that was released never gets another hash. */
const PINNED: Readonly<Record<number, string>> = {
  1: "333f2e0331b89a16725942118f7fc36cefec1efe341d29109d40623974ce0976",
};

test("the wire form is the one its version stands for", () => {
  const written = WRITTEN.map(([, event]) => event);
  const versions = new Set(written.map((event) => JSON.parse(event).v));
  expect(versions.size).toBe(1);
  const hash = createHash("sha256")
    .update(JSON.stringify([JSON.parse(text), ...written]))
    .digest("hex");
  // Not equal? Then readers of this version may break: give the envelope a new `v` and pin that.
  expect({ version: [...versions][0], hash }).toEqual({ version: 1, hash: PINNED[1] });
});

const written = WRITTEN.map(([name, event]) => [name, event] as const);

test.each([...written, ...RESERVED])("the schema describes: %s", (_, event) => {
  expect(schema.safeParse(JSON.parse(event)).error?.issues).toBeUndefined();
});

test.each([
  ["another version", { v: 2 }],
  ["a field nobody knows", { more: 1 }],
  ["a null where nothing should stand", { unchanged: null }],
  ["an empty list", { unchanged: [] }],
  ["a sequence of 0", { sequence: 0 }],
  ["a nested value in a row", { after: { id: { a: 1 } } }],
  ["milliseconds", { timestamp: "2026-11-22T18:00:00.123Z" }],
])("the schema refuses %s", (_, change) => {
  expect(schema.safeParse({ ...JSON.parse(WRITTEN[0]![1]), ...change }).success).toBe(false);
});

test("a message is written as the contract has it", () => {
  expect(["message", MESSAGE]).toEqual(RESERVED.find(([name]) => name === "message"));
});

test("the schema has a form for every operation, and each of them has an example here", () => {
  const operations = JSON.parse(text).oneOf.map(({ $ref }: { $ref: string }) => $ref.split("/").at(-1));
  const shown = [...written, ...RESERVED].map(([, event]) => JSON.parse(event).operation);
  expect(new Set(shown)).toEqual(new Set(operations));
});
