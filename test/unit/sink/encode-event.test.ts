// Which partition an event goes to, and what stands in its record.
import { describe, expect, test } from "vitest";
import { UNCHANGED } from "../../../src/event/column-value.ts";
import type { RowChange } from "../../../src/event/envelope.ts";
import type { RowEncoder } from "../../../src/event/row-encoder.ts";
import { partitionOf } from "../../../src/kafka/murmur2.ts";
import { encodeEvent } from "../../../src/sink/encode-event.ts";
import { lsn, rowEncoder } from "../event/tables.ts";

const columns = [
  ["id", "int4"],
  ["name", "text"],
] as const;
const table = rowEncoder(columns);
const keyless = rowEncoder(columns, { key: [] });

function encode(change: RowChange | { operation: "truncate" }, encoder: RowEncoder = table, partitions = 101) {
  const transaction = { id: "742", epoch: 1, commitLsn: lsn(7), timestamp: "2026-11-22T18:00:00.123456Z" };
  const place = { sequence: 5, index: 2, last: true };
  return encodeEvent({ table: { encoder, topic: "s.public.t", partitions }, change, transaction, ...place });
}

const insert = (id: string): RowChange => ({ operation: "insert", new: [id, "n"], previousKey: null });

describe("a row's event", () => {
  test("goes to the partition of its key, as Kafka's Java clients count it", () => {
    const { key, partition, copies, value } = encode(insert("7"));
    expect(key).toBe('{"id":"7"}');
    expect(partition).toBe(partitionOf('{"id":"7"}', 101));
    expect(copies).toBe(1);
    expect(JSON.parse(value)).toMatchObject({ key: { id: 7 }, sequence: 5, transaction: { index: 2, last: true } });
  });

  test("all events of a key meet in one partition, whatever they do", () => {
    const old = ["7", null];
    const partitions = [
      insert("7"),
      { operation: "update", old: null, new: ["7", UNCHANGED] } as const,
      { operation: "update", old: ["7", "a"], new: ["7", "b"] } as const,
      { operation: "delete", old, oldIsWhole: false, nextKey: null, unchanged: [] } as const,
    ].map((change) => encode(change).partition);
    expect(new Set(partitions).size).toBe(1);
  });

  test("the halves of a key change go to the partitions of their own keys", () => {
    const gone = encode({
      operation: "delete",
      old: ["7", null],
      oldIsWhole: false,
      nextKey: ["8", "n"],
      unchanged: [],
    });
    const come = encode({ operation: "insert", new: ["8", "n"], previousKey: ["7", null] });
    expect([gone.key, come.key]).toEqual(['{"id":"7"}', '{"id":"8"}']);
    expect([gone.partition, come.partition]).toEqual([gone, come].map(({ key }) => partitionOf(key!, 101)));
  });

  test("without a key all of a table go to one partition, that of the table's name", () => {
    for (const change of [insert("7"), insert("8")]) {
      const { key, partition } = encode(change, keyless);
      expect(key).toBeNull();
      expect(partition).toBe(partitionOf("public.t", 101));
    }
  });
});

test("a barrier has no key, one text for all partitions, and says how many there are", () => {
  const { key, partition, copies, value, bytes } = encode({ operation: "truncate" }, table, 4);
  expect({ key, partition, copies }).toEqual({ key: null, partition: "all", copies: 4 });
  expect(JSON.parse(value)).toMatchObject({ operation: "truncate", copies: 4, sequence: 5 });
  expect(bytes).toBeGreaterThan(4 * value.length);
});

test("bytes are those of UTF-8, and never fewer than the record takes", () => {
  const { bytes, value, key } = encode({ operation: "insert", new: ["7", "é".repeat(1_000)], previousKey: null });
  expect(bytes).toBeGreaterThan(Buffer.byteLength(value) + key!.length);
  expect(Buffer.byteLength(value)).toBeGreaterThan(2_000);
});
