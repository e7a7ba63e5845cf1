// A message belongs to the topic of messages, under its prefix, and a table's event does not.
import { expect, test } from "vitest";
import { encodeMessage, parseEnvelope } from "../../../src/event/envelope.ts";
import { partitionOf } from "../../../src/kafka/murmur2.ts";
import { EventCheck } from "../../../src/verify/event-check.ts";
import { Findings } from "../../../src/verify/finding.ts";
import type { StreamRecord } from "../../../src/verify/partition-cursor.ts";
import { lsn } from "../event/tables.ts";

const TRANSACTION = { id: "742", epoch: 1, commitLsn: lsn(7), timestamp: "2026-11-22T18:00:00.123456Z" };
const value = encodeMessage({ operation: "message", prefix: "outbox", content: Buffer.from("x") }, TRANSACTION, {
  sequence: 5,
  index: 2,
  last: true,
});
const MESSAGES = { name: "s.messages", table: null, partitions: 4, compacted: false };
const RIGHT = partitionOf("outbox", 4);
const RECORD: StreamRecord = {
  topic: MESSAGES,
  partition: RIGHT,
  offset: 1n,
  key: "outbox",
  value: Buffer.from(value),
  event: parseEnvelope(value),
  place: "",
};
const ROW = { ...RECORD.event, table: "public.t", operation: "truncate", after: null, schema: 1, copies: 4 };

test.each([
  ["a message in its place", RECORD, []],
  ["another record key", { ...RECORD, key: "other" }, ["KEY_WRONG"]],
  ["another partition", { ...RECORD, partition: (RIGHT + 1) % 4 }, ["PARTITION_WRONG"]],
  ["a table's topic", { ...RECORD, topic: { ...MESSAGES, table: "public.t" } }, ["EVENT_FOREIGN"]],
  ["a table's event", { ...RECORD, event: ROW as StreamRecord["event"] }, ["EVENT_FOREIGN"]],
])("%s", (_, record, kinds) => {
  const findings = new Findings();
  new EventCheck(findings).check(record);
  expect(findings.kept.map(({ kind }) => kind)).toEqual(kinds);
  for (const { topic, table } of findings.kept) {
    expect([topic, table]).toEqual(["s.messages", record.topic.table ?? undefined]);
  }
});
