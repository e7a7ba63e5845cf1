// Events as lines: what changed, nothing a terminal could obey.
import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { EventFormatter } from "../../../src/cli/event-format.ts";
import type { ChangeEvent } from "../../../src/event/change-event.ts";

const plain = new PassThrough() as unknown as NodeJS.WriteStream;

const base = {
  v: 1,
  table: "public.t",
  timestamp: "2026-11-22T18:00:00.123456Z",
  sequence: 1,
  transaction: { id: "742", epoch: 1, lsn: "0/16B3748", index: 1 },
  schema: 1,
};

const lines = (...events: object[]): string[] => {
  const formatter = new EventFormatter(plain);
  const text = events.map((event) => formatter.format({ ...base, ...event } as ChangeEvent)).join("");
  return text.trimEnd().split("\n");
};

test("one line above each transaction", () => {
  const insert = { operation: "insert", key: { id: 1 }, before: null, after: { id: 1, note: "a b" } };
  const next = { ...base.transaction, lsn: "0/16B3800", id: "743" };
  expect(lines(insert, { ...insert, after: { id: 1, note: null } }, { ...insert, transaction: next })).toEqual([
    "── 2026-11-22T18:00:00.123456Z transaction 742 at 0/16B3748",
    'insert   public.t id=1 note="a b"',
    "insert   public.t id=1 note=null",
    "── 2026-11-22T18:00:00.123456Z transaction 743 at 0/16B3800",
    'insert   public.t id=1 note="a b"',
  ]);
});

test.each([
  [
    { operation: "update", key: { id: 1 }, before: { id: 1, a: 1, b: "x" }, after: { id: 1, a: 2, b: "x" } },
    "update   public.t id=1 a=1→2",
  ],
  [
    { operation: "update", key: { id: 1 }, before: null, after: { id: 1, a: 2 }, unchanged: ["body"] },
    "update   public.t id=1 a=2 (body unchanged)",
  ],
  [
    { operation: "update", key: { id: 1 }, before: { id: 1 }, after: { id: 1 } },
    "update   public.t id=1 (no value changed)",
  ],
  [{ operation: "delete", key: { id: 1 }, before: { id: 1 }, after: null }, "delete   public.t id=1"],
  [{ operation: "truncate", key: null, before: null, after: null, copies: 1 }, "truncate public.t every row"],
  [
    { operation: "insert", key: null, before: null, after: { "\u001b[2J": "\u001b]0;x\u0007\u009b" } },
    'insert   public.t \\u001b[2J="\\u001b]0;x\\u0007\\u009b"',
  ],
  [
    { operation: "insert", key: null, before: null, after: { long: "x".repeat(100) } },
    `insert   public.t long=${"x".repeat(59)}…`,
  ],
])("%j", (event, line) => {
  expect(lines(event)[1]).toBe(line);
});
