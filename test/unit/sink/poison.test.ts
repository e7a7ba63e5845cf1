// An event that its topic does not take is named by its position, with what can be done about that kind of event.
import { describe, expect, test } from "vitest";
import { AfterimageError } from "../../../src/errors.ts";
import { undecodableValue } from "../../../src/event/column-value.ts";
import type { RowChange } from "../../../src/event/envelope.ts";
import { RecordTooLarge } from "../../../src/kafka/errors.ts";
import { encodeEvent } from "../../../src/sink/encode-event.ts";
import { asPoison, PoisonEvent } from "../../../src/sink/poison.ts";
import { lsn, rowEncoder } from "../event/tables.ts";

test("a message is named by its position and its prefix, never by its content", () => {
  const message = encodeEvent({
    table: null,
    route: { topic: "s.messages", partitions: 4 },
    change: { operation: "message", prefix: "outbox", content: Buffer.from("secret") },
    transaction: { id: "742", epoch: 1, commitLsn: lsn(7), timestamp: "2026-11-22T18:00:00.123456Z" },
    sequence: 5,
    index: 2,
    last: true,
  });
  const error = asPoison(new RecordTooLarge({ topic: message.topic, partition: 1 }, 20_000_000, message), [message]);
  expect(error).toBeInstanceOf(PoisonEvent);
  expect(error).toMatchObject({
    code: "RECORD_TOO_LARGE",
    message: expect.stringMatching(/message at position 1:0\/7:2, with prefix "outbox"/),
    advice: expect.stringMatching(/max\.message\.bytes.*afterimage skip 1:0\/7:2 --reason/),
  });
  expect(`${error.message}${error.advice}`).not.toContain("secret");
});

describe("bytes that are not UTF-8", () => {
  const columns = [
    ["id", "text"],
    ["v", "text"],
  ] as const;
  const table = { encoder: rowEncoder(columns), topic: "s.public.t", partitions: 4 };
  const bad = undecodableValue(Buffer.from([0xe9]));
  const undecodable = new AfterimageError("TEXT_UNDECODABLE", "Bytes.", "Mend them.");
  const transaction = { id: "742", epoch: 1, commitLsn: lsn(7), timestamp: "2026-11-22T18:00:00.123456Z" };
  const encode = (change: RowChange) =>
    encodeEvent({ table, change, transaction, sequence: 5, index: 2, last: false, undecodable });
  const gone = { operation: "delete", old: ["x", null], oldIsWhole: false, nextKey: null, unchanged: [] } as const;

  test.each<[string, RowChange, string]>([
    ["an insert", { operation: "insert", new: ["x", bad], previousKey: null }, "1:0/7:2"],
    ["an update", { operation: "update", old: null, new: ["x", bad] }, "1:0/7:2"],
    ["an update's old row", { operation: "update", old: ["x", bad], new: ["x", "v"] }, "1:0/7:2"],
    ["a delete", { ...gone, old: [bad, null] }, "1:0/7:2"],
    ["the key before", { operation: "insert", new: ["x", "v"], previousKey: [bad, null] }, "1:0/7:2"],
    ["the key after, which is the next event's", { ...gone, nextKey: [bad, "v"] }, "1:0/7:3"],
  ])("%s halts by its position", (_, change, position) => {
    expect(() => encode(change)).toThrow(
      expect.objectContaining({
        code: "TEXT_UNDECODABLE",
        advice: expect.stringContaining(`afterimage skip ${position} --reason`),
      }),
    );
  });

  test("an event beside one that holds them is published", () => {
    expect(encode(gone).key).toBe('{"id":"x"}');
  });
});
