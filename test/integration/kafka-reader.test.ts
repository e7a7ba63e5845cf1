// Reading committed records from explicit partitions, and finding the last one from behind.
import { expect } from "vitest";
import { unique } from "../../dev/servers/database.ts";
import {
  type FetchPosition,
  fetchCommitted,
  fetchPartitions,
  readLastCommitted,
} from "../../src/kafka/committed-reader.ts";
import type { KafkaConnection } from "../../src/kafka/connection.ts";
import { fetchOffsets } from "../../src/kafka/offsets.ts";
import { records, settled, kafkaTest as test } from "../support/kafka-fixture.ts";
import { kafkaClient } from "../support/topics.ts";

async function readAll(connection: KafkaConnection, start: FetchPosition[], maxBytesPerPartition?: number) {
  const values: [string, number, bigint, string | undefined][] = [];
  let positions = start;
  for (;;) {
    const fetched = await fetchPartitions(connection, positions, { maxWaitMs: 50, maxBytesPerPartition });
    for (const { topic, partition, records: read } of fetched) {
      values.push(
        ...read.map(({ offset, value }): [string, number, bigint, string | undefined] => [
          topic,
          partition,
          offset,
          value?.toString(),
        ]),
      );
    }
    if (fetched.every(({ nextOffset, lastStableOffset }) => nextOffset === lastStableOffset)) {
      return values;
    }
    positions = fetched.map(({ topic, partition, nextOffset }) => ({ topic, partition, offset: nextOffset }));
  }
}

test("passes aborted records and control records, over several topics", async ({
  connection,
  newTopic,
  newProducer,
}) => {
  const [one, two] = [await newTopic({ partitions: 2 }), await newTopic()];
  const producer = newProducer();
  const other = newProducer();
  await producer.takeOver();
  await other.takeOver();
  for (let i = 0; i < 10; i++) {
    await producer.produce(records(one, { 0: [`a${i}`, `b${i}`], 1: [`c${i}`] }));
    await other.produce(records(one, { 0: [`other ${i}`] })); // interleaved in one partition
    await producer.produce(records(two, { 0: [`d${i}`] }));
    await (i % 2 === 0 ? producer.commit() : producer.abort());
    await (i % 3 === 0 ? other.commit() : other.abort());
  }
  await settled(connection, one, 2);
  await settled(connection, two);
  const even = [0, 2, 4, 6, 8];
  for (const maxBytes of [1, 200, 1_000_000]) {
    const read = await readAll(
      connection,
      [
        { topic: one, partition: 0, offset: 0n },
        { topic: one, partition: 1, offset: 0n },
        { topic: two, partition: 0, offset: 0n },
      ],
      maxBytes,
    );
    const of = (topic: string, partition: number) =>
      read.filter((row) => row[0] === topic && row[1] === partition).map((row) => row[3]);
    expect(of(one, 0)).toEqual(
      Array.from({ length: 10 }, (_, i) => [
        ...(i % 2 === 0 ? [`a${i}`, `b${i}`] : []),
        ...(i % 3 === 0 ? [`other ${i}`] : []),
      ]).flat(),
    );
    expect(of(one, 1)).toEqual(even.map((i) => `c${i}`));
    expect(of(two, 0)).toEqual(even.map((i) => `d${i}`));
  }
  // From every offset on, also from the middle of aborted transactions and from control records.
  const whole = await readAll(connection, [{ topic: one, partition: 0, offset: 0n }]);
  const { highWatermark } = await fetchOffsets(connection, one, 0);
  for (let offset = 0n; offset <= highWatermark; offset++) {
    const rest = await readAll(connection, [{ topic: one, partition: 0, offset }]);
    expect(rest).toEqual(whole.filter((row) => row[2] >= offset));
  }
});

test("agrees with what other producers write: headers, gzip, no transaction, null values", async ({
  connection,
  newTopic,
}) => {
  const topic = await newTopic();
  const producer = kafkaClient().producer();
  await producer.connect();
  const messages = [
    { key: "k", value: "v".repeat(3000), headers: { h: "x", many: ["1", "2"] }, timestamp: "1700000000123" },
    { key: null, value: "no key", timestamp: "1600000000000" },
    { key: Buffer.from([0, 255]), value: null, timestamp: "1650000000000" },
  ];
  for (const compression of [0, 1]) {
    await producer.send({ topic, messages, compression });
  }
  await producer.disconnect();
  const fetched = await fetchCommitted(connection, topic, new Map([[0, 0n]]));
  const read = fetched.get(0)?.records ?? [];
  expect(read.map(({ offset }) => offset)).toEqual([0n, 1n, 2n, 3n, 4n, 5n]);
  for (const at of [0, 3]) {
    expect(
      read
        .slice(at, at + 3)
        .map(({ key, value, timestamp }) => [key?.toString("latin1"), value?.toString(), timestamp]),
    ).toEqual([
      ["k", "v".repeat(3000), 1_700_000_000_123n],
      [undefined, "no key", 1_600_000_000_000n],
      ["\u0000ÿ", undefined, 1_650_000_000_000n],
    ]);
  }
});

test.for(["gzip", "zstd", "lz4", "snappy"])(
  "a topic that its owner compresses with %s",
  async (codec, { connection, newTopic, newProducer }) => {
    const topic = await newTopic({ configs: { "compression.type": codec } });
    const producer = newProducer();
    await producer.takeOver();
    await producer.produce(records(topic, { 0: ["a".repeat(1000), "b"] }));
    await producer.commit();
    await settled(connection, topic);
    const reading = fetchCommitted(connection, topic, new Map([[0, 0n]]));
    if (codec === "gzip" || codec === "zstd") {
      const fetched = await reading;
      expect(fetched.get(0)?.records.map(({ value }) => value?.toString())).toEqual(["a".repeat(1000), "b"]);
    } else {
      await expect(reading).rejects.toMatchObject({
        code: "KAFKA_COMPRESSION_UNSUPPORTED",
        message: expect.stringContaining(codec),
      });
    }
  },
);

test("the time of a LogAppendTime topic is the broker's", async ({ connection, newTopic, newProducer }) => {
  const topic = await newTopic({ configs: { "message.timestamp.type": "LogAppendTime" } });
  const producer = newProducer();
  await producer.takeOver();
  await producer.produce(records(topic, { 0: ["a", "b"] }));
  await producer.commit();
  await settled(connection, topic);
  const fetched = await fetchCommitted(connection, topic, new Map([[0, 0n]]));
  const times = fetched.get(0)!.records.map(({ timestamp }) => Number(timestamp));
  expect(times[0]).toBe(times[1]);
  expect(Math.abs(times[0]! - Date.now())).toBeLessThan(60_000);
});

test("an offset outside of the log is an error of its own, and nothing is reset", async ({
  connection,
  newTopic,
  newProducer,
}) => {
  const topic = await newTopic({ partitions: 2 });
  const producer = newProducer();
  await producer.takeOver();
  await producer.produce(records(topic, { 0: ["a", "b", "c"] }));
  await producer.commit();
  await settled(connection, topic);
  const at = (offset: bigint) => fetchCommitted(connection, topic, new Map([[0, offset]]), { maxWaitMs: 10 });
  await expect(at(5n)).rejects.toMatchObject({ code: "OFFSET_OUT_OF_RANGE" });
  expect((await at(4n)).get(0)).toMatchObject({ records: [], nextOffset: 4n, lastStableOffset: 4n, highWatermark: 4n });
  const admin = kafkaClient().admin();
  await admin.connect();
  await admin.fetchTopicOffsets(topic); // loads the metadata that the next call needs
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: "2" }] });
  await admin.disconnect();
  await expect(at(1n)).rejects.toMatchObject({ code: "OFFSET_OUT_OF_RANGE", message: expect.stringContaining(topic) });
  expect((await at(2n)).get(0)?.records.map(({ value }) => value?.toString())).toEqual(["c"]);
  expect(await fetchOffsets(connection, topic, 0)).toEqual({ earliest: 2n, lastStable: 4n, highWatermark: 4n });
});

test("an absent topic or partition is named", async ({ connection, newTopic }) => {
  const topic = await newTopic();
  const absent = unique("absent");
  await expect(fetchCommitted(connection, absent, new Map([[0, 0n]]))).rejects.toMatchObject({ code: "TOPIC_MISSING" });
  await expect(fetchOffsets(connection, topic, 1)).rejects.toMatchObject({
    code: "TOPIC_MISSING",
    message: expect.stringContaining(`${topic} partition 1`),
  });
});

test("the last committed record is found behind aborted transactions, however many", async ({
  connection,
  newTopic,
  newProducer,
}) => {
  const topic = await newTopic();
  const last = async () => (await readLastCommitted(connection, topic, 0))?.value?.toString();
  const lastSettled = async () => {
    await settled(connection, topic);
    return last();
  };
  const producer = newProducer();
  await producer.takeOver();
  expect(await lastSettled()).toBeUndefined();
  await producer.produce(records(topic, { 0: ["aborted"] }));
  await producer.abort();
  expect(await lastSettled()).toBeUndefined();
  await producer.produce(records(topic, { 0: ["first", "second"] }));
  await producer.commit();
  expect(await lastSettled()).toBe("second");
  for (let i = 0; i < 60; i++) {
    await producer.produce(records(topic, { 0: ["aborted", "aborted"] }));
    await producer.abort();
  }
  expect(await lastSettled()).toBe("second");
  await producer.produce(records(topic, { 0: Array.from({ length: 3000 }, (_, i) => `aborted ${i}`) }));
  await producer.abort();
  expect(await lastSettled()).toBe("second");
  await producer.produce(records(topic, { 0: ["third"] }));
  expect(await last()).toBe("second"); // still open
  await producer.commit();
  expect(await lastSettled()).toBe("third");
});

test("a hung foreign transaction holds the last stable offset below the high watermark", async ({
  connection,
  newTopic,
  newProducer,
}) => {
  const topic = await newTopic();
  const hung = newProducer();
  const producer = newProducer();
  await hung.takeOver();
  await producer.takeOver();
  await producer.produce(records(topic, { 0: ["visible"] }));
  await producer.commit();
  await settled(connection, topic);
  await hung.produce(records(topic, { 0: ["open"] }));
  await producer.produce(records(topic, { 0: ["hidden"] }));
  await producer.commit();
  const offsets = () => fetchOffsets(connection, topic, 0);
  await expect.poll(offsets).toEqual({ earliest: 0n, lastStable: 2n, highWatermark: 5n });
  const fetched = await fetchCommitted(connection, topic, new Map([[0, 0n]]));
  expect(fetched.get(0)).toMatchObject({ nextOffset: 2n, lastStableOffset: 2n, highWatermark: 5n });
  expect((await readLastCommitted(connection, topic, 0))?.value?.toString()).toBe("visible");
  await hung.abort();
  await expect.poll(async () => (await readLastCommitted(connection, topic, 0))?.value?.toString()).toBe("hidden");
});

test("once a producer has initialised itself, what was committed before is all there", async ({
  connection,
  newTopic,
  newProducer,
}) => {
  const topic = await newTopic();
  const transactionalId = unique("tx");
  let producer = newProducer({ transactionalId });
  await producer.takeOver();
  for (let i = 0; i < 40; i++) {
    await producer.produce(records(topic, { 0: [`${i}`] }));
    await producer.commit();
    if (i % 3 === 0) {
      await producer.produce(records(topic, { 0: ["open"] }));
    }
    if (i % 2 === 0) {
      await producer.reinitialise();
    } else {
      producer = newProducer({ transactionalId });
      await producer.takeOver();
    }
    const { lastStable, highWatermark } = await fetchOffsets(connection, topic, 0);
    expect(lastStable).toBe(highWatermark);
    expect((await readLastCommitted(connection, topic, 0))?.value?.toString()).toBe(`${i}`);
  }
});

test("a long wait on one partition holds up nothing else", async ({ connection, newTopic, newProducer }) => {
  const topic = await newTopic();
  const producer = newProducer();
  await producer.takeOver();
  const start = performance.now();
  const waiting = fetchCommitted(connection, topic, new Map([[0, 0n]]), { maxWaitMs: 10_000 });
  await fetchOffsets(connection, topic, 0);
  await producer.produce(records(topic, { 0: ["a"] }));
  await producer.commit();
  let fetched = await waiting; // may wake at the uncommitted record already
  while (fetched.get(0)?.records.length === 0) {
    fetched = await fetchCommitted(connection, topic, new Map([[0, fetched.get(0)!.nextOffset]]), {
      maxWaitMs: 10_000,
    });
  }
  expect(fetched.get(0)?.records[0]?.value?.toString()).toBe("a");
  expect(performance.now() - start).toBeLessThan(8_000);
});
