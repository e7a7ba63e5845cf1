// `afterimage verify` from Kafka alone finds every kind of damage: those kinds, and no others.
import { expect, onTestFinished, test } from "vitest";
import { toLsn } from "../../src/event/lsn.ts";
import type { FindingKind } from "../../src/verify/finding.ts";
import { type Damage, type ForgedMessage, ForgedStream, tellStory } from "../support/forged-stream.ts";
import { runVerify } from "../support/verify-run.ts";

const verify = (stream: ForgedStream) =>
  runVerify({ AFTERIMAGE_STREAM: stream.name, AFTERIMAGE_KAFKA_BROKERS: stream.brokers.join(",") });

async function forge(): Promise<ForgedStream> {
  const stream = await ForgedStream.open();
  onTestFinished(() => stream.drop());
  return stream;
}

const only = (kind: FindingKind, ...more: FindingKind[]) => [kind, ...more].sort();
const at = (messages: readonly ForgedMessage[], sequence: number) =>
  messages.find((each) => each.sequence === sequence)!;
const changed = (sequence: number, change: (message: ForgedMessage) => ForgedMessage) => (messages: ForgedMessage[]) =>
  messages.map((each) => (each.sequence === sequence ? change(each) : each));
const withValue = (sequence: number, change: (value: string) => string) =>
  changed(sequence, (each) => ({ ...each, value: change(each.value) }));
const withoutVector = { progress: () => null };

/** What is done to the middle batch, and the kinds that must be found: those and no others. */
const DAMAGES: Record<string, [damage: Damage, kinds: FindingKind[]]> = {
  "an event is missing": [{ messages: (all) => all.filter(({ sequence }) => sequence !== 11) }, only("SEQUENCE_GAP")],
  "the last event of a partition is missing": [
    { messages: (all) => all.filter(({ sequence }) => sequence !== 12) },
    only("SEQUENCE_GAP", "VECTOR_UNMET"),
  ],
  "an event stands twice side by side": [
    { messages: (all) => all.flatMap((each) => (each.sequence === 11 ? [each, each] : [each])) },
    only("SEQUENCE_DOUBLE"),
  ],
  "a sequence is used in two topics": [
    {
      messages: (all) =>
        all.map((each) =>
          each.sequence === 8 ? { ...each, value: each.value.replace('"sequence":8', '"sequence":7') } : each,
        ),
    },
    only("SEQUENCE_DOUBLE", "SEQUENCE_GAP"),
  ],
  "two events of a partition are swapped": [
    {
      messages: (all) => {
        const order = [...all];
        const [one, two] = [order.indexOf(at(all, 11)), order.indexOf(at(all, 12))];
        [order[one], order[two]] = [order[two]!, order[one]!];
        return order;
      },
    },
    only("SEQUENCE_GAP", "SEQUENCE_ORDER", "VECTOR_UNMET"),
  ],
  "a barrier lacks a copy": [
    { messages: (all) => all.filter(({ sequence, partition }) => sequence !== 9 || partition !== 2) },
    only("BARRIER_TORN", "VECTOR_UNMET"),
  ],
  "a barrier's copies differ": [
    {
      messages: (all) =>
        all.map((each) =>
          each.sequence === 9 && each.partition === 3 ? { ...each, value: each.value.replace("18:00", "19:00") } : each,
        ),
    },
    only("BARRIER_TORN"),
  ],
  "a barrier counts its copies wrong": [
    { messages: withValue(9, (value) => value.replace('"copies":4', '"copies":3')) },
    only("BARRIER_TORN"),
  ],
  "an event stands in another partition": [
    { messages: changed(4, (each) => ({ ...each, partition: (each.partition + 1) % 4 })) },
    only("PARTITION_WRONG", "VECTOR_UNMET"),
  ],
  "an event without key stands in another partition": [
    { messages: changed(11, (each) => ({ ...each, partition: (each.partition + 1) % 4 })) },
    only("PARTITION_WRONG", "VECTOR_UNMET"),
  ],
  "a record key is another one's": [
    { messages: changed(4, (each) => ({ ...each, key: '{"id":"5"}' })) },
    only("KEY_WRONG", "PARTITION_WRONG"),
  ],
  "a record key is missing": [
    { messages: changed(4, (each) => ({ ...each, key: null })) },
    only("KEY_WRONG", "PARTITION_WRONG"),
  ],
  "key and row don't fit": [
    { messages: withValue(4, (value) => value.replace('"after":{"id":4', '"after":{"id":44')) },
    only("KEY_WRONG"),
  ],
  "a schema is unknown": [
    { messages: withValue(5, (value) => value.replace('"schema":1', '"schema":9')) },
    only("SCHEMA_UNKNOWN"),
  ],
  "a schema is another table's": [
    { messages: withValue(5, (value) => value.replace('"schema":1', '"schema":2')) },
    only("SCHEMA_UNKNOWN"),
  ],
  "a column is missing": [
    { messages: withValue(5, (value) => value.replace(',"name":"x"', "")) },
    only("COLUMNS_WRONG"),
  ],
  "an event is of another table": [
    { messages: withValue(4, (value) => value.replace("public.a", "public.z")) },
    only("EVENT_FOREIGN"),
  ],
  "a record is no event": [{ messages: withValue(4, () => '{"hello":1}') }, only("EVENT_INVALID", "SEQUENCE_GAP")],
  "a transaction has no last event": [
    { messages: withValue(7, (value) => value.replace(',"last":true', "")) },
    only("TRANSACTION_TORN"),
  ],
  "a transaction goes on after its last event": [
    { messages: withValue(4, (value) => value.replace('"index":1', '"index":1,"last":true')) },
    only("TRANSACTION_TORN"),
  ],
  "indexes don't rise": [
    { messages: withValue(5, (value) => value.replace('"index":2', '"index":1')) },
    only("TRANSACTION_ORDER"),
  ],
  "a commit stands before an earlier one": [
    {
      messages: (all) =>
        all.map((each) =>
          each.value.includes('"table":"public.b"')
            ? { ...each, value: each.value.replace(/"lsn":"[^"]*"/, '"lsn":"0/1"') }
            : each,
        ),
    },
    only("TRANSACTION_ORDER"),
  ],
  "half of a key change is another row's": [
    { messages: withValue(6, (value) => value.replace('"nextKey":{"id":20}', '"nextKey":{"id":21}')) },
    only("KEY_CHANGE_TORN"),
  ],
  "a vector names another offset": [
    { progress: (progress) => vector(progress, (position) => ({ ...position, offset: position.offset + 1n })) },
    only("VECTOR_UNMET"),
  ],
  "a vector names another sequence": [
    { progress: (progress) => vector(progress, (position) => ({ ...position, sequence: position.sequence - 1 })) },
    only("VECTOR_UNMET"),
  ],
  "a vector lacks a partition": [
    { progress: (progress) => ({ ...progress, partitions: new Map([...progress.partitions].slice(1)) }) },
    only("VECTOR_UNMET"),
  ],
  "a progress record is missing": [withoutVector, only("PROGRESS_GAP")],
  "a progress record goes back": [
    { progress: (progress) => ({ ...progress, endLsn: toLsn(progress.endLsn + 100_000n) }) },
    only("PROGRESS_ORDER"),
  ],
  "a progress record names another transaction": [
    { progress: (progress) => ({ ...progress, last: { ...progress.last!, xid: "1" } }) },
    only("PROGRESS_LAST"),
  ],
  "a progress record calls itself incomplete": [
    { progress: (progress) => ({ ...progress, last: { ...progress.last!, complete: false } }) },
    only("PROGRESS_LAST"),
  ],
  "a progress record is another stream's": [
    { progress: (progress) => ({ ...progress, stream: "other" }) },
    only("PROGRESS_GAP", "PROGRESS_INVALID"),
  ],
};

function vector(
  progress: ForgedStream["progress"],
  change: (position: { sequence: number; offset: bigint }) => { sequence: number; offset: bigint },
) {
  const [[topic, positions], ...others] = [...progress.partitions] as [
    [string, ReadonlyMap<number, { sequence: number; offset: bigint }>],
  ];
  const [[partition, position], ...more] = [...positions] as [[number, { sequence: number; offset: bigint }]];
  return { ...progress, partitions: new Map([[topic, new Map([[partition, change(position)], ...more])], ...others]) };
}

test.each(Object.entries(DAMAGES))("%s", async (_, [damage, kinds]) => {
  const stream = await forge();
  await tellStory(stream, damage);
  const run = await verify(stream);
  expect([...run.kinds].sort(), run.output).toEqual(kinds);
  expect(run.code).toBe(kinds.length === 0 ? 0 : 1);
});

test("what is wrong is named with its place", async () => {
  const stream = await forge();
  await tellStory(stream, { messages: withValue(5, (value) => value.replace('"schema":1', '"schema":9')) });
  const { report } = await verify(stream);
  expect(report.findings).toEqual([
    {
      kind: "SCHEMA_UNKNOWN",
      severity: "wrong",
      what: "Its schema 9 is recorded nowhere.",
      table: "public.a",
      topic: stream.topic("public.a"),
      partition: stream.partition(1),
      offset: expect.stringMatching(/^\d+$/),
      sequence: 5,
    },
  ]);
});
