// What a reader refuses: an unknown version, and anything that is not an event. Nothing is ever skipped.
import { describe, expect, test } from "vitest";
import { AfterimageError } from "../../../src/errors.ts";
import { parseEnvelope } from "../../../src/event/envelope.ts";

const transaction = { id: "742", epoch: 1, lsn: "0/16B3748", index: 3, last: true };
const common = { v: 1, timestamp: "2026-11-22T18:00:00.123456Z", sequence: 4711, transaction };
const row = { ...common, table: "public.t", schema: 12, key: { id: 7 } };
const barrier = { ...common, table: "public.t", key: null, before: null, after: null, copies: 4 };

const EVENTS = {
  insert: { ...row, operation: "insert", before: null, after: { id: 7 } },
  update: { ...row, operation: "update", before: null, after: { id: 7 }, unchanged: ["body"] },
  delete: { ...row, operation: "delete", before: { id: 7 }, after: null, nextKey: { id: 8 } },
  read: {
    ...row,
    operation: "read",
    before: null,
    after: { id: 7 },
    transaction: { ...transaction, id: null, index: 0 },
  },
  message: {
    ...common,
    operation: "message",
    table: null,
    schema: null,
    key: null,
    before: null,
    after: { prefix: "p", content: "c", encoding: "utf8" },
  },
  truncate: { ...barrier, operation: "truncate", schema: 12 },
  gap: { ...barrier, operation: "gap", schema: null, reason: "skipped" },
  sweep: { ...barrier, operation: "sweep", schema: null, since: 0 },
};

const refusal = (value: unknown): string => {
  try {
    parseEnvelope(typeof value === "string" ? value : JSON.stringify(value));
  } catch (error) {
    expect(error).toBeInstanceOf(AfterimageError);
    expect((error as AfterimageError).cause).toBeUndefined();
    return (error as AfterimageError).code;
  }
  return "none";
};

test.each(Object.entries(EVENTS))("%s is read as it stands", (_, event) => {
  expect(parseEnvelope(JSON.stringify(event))).toEqual(event);
});

test("fields that this version does not know are left in place, not refused", () => {
  expect(parseEnvelope(JSON.stringify({ ...EVENTS.insert, later: 1 }))).toHaveProperty("later", 1);
});

test.each([2, 0, "1", null, undefined])("version %j is refused by name", (v) => {
  expect(refusal({ ...EVENTS.insert, v })).toBe("ENVELOPE_VERSION_UNKNOWN");
});

test.each(["", "{", "null", "1", '"x"', "[]", "[1]", "\u0000", '{"v":1}'])("%j is no event", (text) => {
  expect(refusal(text)).toBe("ENVELOPE_INVALID");
});

describe("an event with a field amiss is refused", () => {
  const without = (event: object, field: string) =>
    Object.fromEntries(Object.entries(event).filter(([n]) => n !== field));

  test.each(
    Object.entries(EVENTS).flatMap(([operation, event]) =>
      ["operation", "timestamp", "sequence", "transaction"].map((field) => [operation, field, event] as const),
    ),
  )("%s without %s", (_, field, event) => {
    expect(refusal(without(event, field))).toBe("ENVELOPE_INVALID");
  });

  test.each([
    ["insert", { operation: "upsert" }],
    ["insert", { operation: "constructor" }],
    ["insert", { operation: ["insert"] }],
    ["insert", { sequence: 0 }],
    ["insert", { sequence: -1 }],
    ["insert", { sequence: 1.5 }],
    ["insert", { sequence: 2 ** 53 }],
    ["insert", { sequence: "1" }],
    ["insert", { transaction: null }],
    ["insert", { transaction: {} }],
    ["insert", { transaction: { ...transaction, lsn: "16B3748" } }],
    ["insert", { transaction: { ...transaction, epoch: 0 } }],
    ["insert", { transaction: { ...transaction, index: -1 } }],
    ["insert", { transaction: { ...transaction, id: 742 } }],
    ["insert", { transaction: { ...transaction, last: false } }],
    ["insert", { table: null }],
    ["insert", { schema: null }],
    ["insert", { schema: 0 }],
    ["insert", { after: null }],
    ["insert", { after: [] }],
    ["insert", { before: { id: 7 } }],
    ["insert", { key: "7" }],
    ["insert", { previousKey: null }],
    ["insert", { unchanged: "body" }],
    ["update", { unchanged: [1] }],
    ["update", { after: undefined }],
    ["update", { before: 1 }],
    ["delete", { before: null }],
    ["delete", { after: { id: 7 } }],
    ["delete", { nextKey: 7 }],
    ["read", { after: null }],
    ["message", { after: null }],
    ["message", { table: "public.t" }],
    ["truncate", { copies: 0 }],
    ["truncate", { copies: undefined }],
    ["truncate", { schema: null }],
    ["truncate", { table: null }],
    ["gap", { reason: undefined }],
    ["sweep", { since: "1" }],
  ] as const)("%s with %j", (operation, change) => {
    expect(refusal({ ...EVENTS[operation], ...change })).toBe("ENVELOPE_INVALID");
  });
});

test("a refusal holds no row's value", () => {
  for (const text of [
    '{"v":1,"after":{"card":"4111"',
    JSON.stringify({ ...EVENTS.insert, operation: "x", key: "4111" }),
  ]) {
    expect(() => parseEnvelope(text)).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining("4111") }),
    );
  }
});
