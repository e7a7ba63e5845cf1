// Events that are left out: a gap in their place, and the other half of a key change stands for itself.
import { expect, test } from "vitest";
import { type GapEvent, skippedPrefix } from "../../../src/event/change-event.ts";
import { UNCHANGED } from "../../../src/event/column-value.ts";
import type { RowChange } from "../../../src/event/envelope.ts";
import { parseEnvelope } from "../../../src/event/envelope.ts";
import { formatPosition, parsePosition } from "../../../src/event/position.ts";
import { skippingEncoder } from "../../../src/sink/skip-events.ts";
import { lsn, rowEncoder } from "../event/tables.ts";

const columns = [
  ["id", "int4"],
  ["name", "text"],
] as const;
const table = { encoder: rowEncoder(columns), topic: "s.public.t", partitions: 4 };
const transaction = { id: "742", epoch: 2, commitLsn: lsn(7), timestamp: "2026-11-22T18:00:00.123456Z" };

const gone: RowChange = {
  operation: "delete",
  old: ["7", null],
  oldIsWhole: false,
  nextKey: ["8", null],
  unchanged: ["name"],
};
const come: RowChange = { operation: "insert", new: ["8", UNCHANGED], previousKey: ["7", null] };

/** The events as stored, with the event of this index left out. */
function encode(skipped: number, changes: readonly RowChange[], epoch = 2) {
  const told: number[] = [];
  const skips = [{ position: { epoch, commitLsn: lsn(7), index: skipped }, reason: 'too "large"' }];
  const encoder = skippingEncoder(skips, (_, { index }) => told.push(index));
  const events = changes.map((change, at) => {
    const place = { sequence: 5 + at, index: 1 + at, last: at === changes.length - 1 };
    const event = { table, change, transaction, ...place };
    return encoder.leaveOut(event) ?? encoder.encode(event);
  });
  return { told, events: events.map(({ value }) => parseEnvelope(value)), encoded: events };
}

test("the event becomes a gap with its own place, in every partition", () => {
  const insert: RowChange = { operation: "insert", new: ["1", "n"], previousKey: null };
  const { told, events, encoded } = encode(2, [insert, insert]);
  expect(told).toEqual([2]);
  expect(encoded[1]).toMatchObject({ partition: "all", copies: 4, key: null, sequence: 6 });
  expect(events[1]).toEqual({
    v: 1,
    table: "public.t",
    operation: "gap",
    key: null,
    before: null,
    after: null,
    timestamp: transaction.timestamp,
    sequence: 6,
    transaction: { id: "742", epoch: 2, lsn: events[0]!.transaction.lsn, index: 2, last: true },
    schema: null,
    reason: 'too "large"',
    copies: 4,
  });
});

test("nobody waits for the half of a key change that is left out", () => {
  const without = encode(2, [gone, come]).events[0]!;
  expect(without.operation).toBe("delete");
  expect(without).not.toHaveProperty("nextKey");
  expect(without).not.toHaveProperty("unchanged");
  const rest = encode(1, [gone, come]).events;
  expect(rest[0]!.operation).toBe("gap");
  expect(rest[1]).not.toHaveProperty("previousKey");
});

test("the same place in another epoch is another event", () => {
  const { told, events } = encode(1, [gone, come], 1);
  expect(told).toEqual([]);
  expect(events[0]).toHaveProperty("nextKey");
});

test.each(["", "1", "0/16B3748", "1:0/16B3748", "1:0/16B3748:0", "0:0/16B3748:1", "1:0/16B3748:1 ", "1:x/1:1"])(
  "%j is no position",
  (text) => {
    expect(parsePosition(text)).toBeNull();
  },
);

test("a position is read as it was written", () => {
  const position = { epoch: 12, commitLsn: lsn(0xff_0000_0001), index: 3_000_000_000 };
  expect(parsePosition(formatPosition(position))).toEqual(position);
  expect(parsePosition("1:16/b374d848:3")).toEqual(parsePosition("1:16/B374D848:3"));
});

test("a message becomes a gap that names its prefix, in every partition", () => {
  const position = { epoch: 2, commitLsn: lsn(7), index: 3 };
  const encoder = skippingEncoder([{ position, reason: "too large" }], () => undefined);
  const change = { operation: "message", prefix: 'a "b"\\', content: Buffer.from("secret") } as const;
  const message = {
    table: null,
    route: { topic: "s.messages", partitions: 2 },
    change,
    transaction,
    sequence: 8,
    last: true,
  };
  expect(encoder.leaveOut({ ...message, index: 2 })).toBeNull();
  const gap = encoder.leaveOut({ ...message, index: 3 })!;
  expect(gap).toMatchObject({
    encoder: null,
    topic: "s.messages",
    partition: "all",
    copies: 2,
    key: null,
    sequence: 8,
  });
  const event = parseEnvelope(gap.value) as GapEvent;
  expect(event).toMatchObject({ operation: "gap", table: "messages", reason: 'message "a \\"b\\"\\\\": too large' });
  expect(skippedPrefix(event)).toBe('a "b"\\');
  expect(skippedPrefix({ ...event, table: "public.messages" })).toBeNull();
});
