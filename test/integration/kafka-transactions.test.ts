// The transactional producer against a real broker, judged by kafkajs's ordinary consumer.
import { expect, inject } from "vitest";
import { unique } from "../../dev/servers/database.ts";
import { fetchOffsets } from "../../src/kafka/offsets.ts";
import type { ProducerRecord } from "../../src/kafka/transactional-producer.ts";
import { records, kafkaTest as test } from "../support/kafka-fixture.ts";
import { readTopic } from "../support/topics.ts";

const valuesOf = async (topic: string) => (await readTopic(inject("brokers"), topic)).map(({ value }) => value);

test("what is committed is read, what is aborted is not, and offsets are told", async ({ newTopic, newProducer }) => {
  const topic = await newTopic({ partitions: 2 });
  const producer = newProducer();
  await producer.takeOver();
  await producer.begin([{ topic, partition: 0 }]);
  const first = await producer.produce(records(topic, { 0: ["a", "b"] }));
  expect(first.get(topic)?.get(0)).toEqual({ baseOffset: 0n, lastOffset: 1n });
  await producer.begin([
    { topic, partition: 0 },
    { topic, partition: 1 },
  ]);
  await producer.produce(records(topic, { 0: ["c"], 1: ["d é 😀"] }));
  await producer.commit();
  await producer.produce(records(topic, { 0: ["lost"], 1: ["lost"] })); // begins by itself
  await producer.abort();
  const last = await producer.produce(records(topic, { 0: ["e"] }));
  expect(last.get(topic)?.get(0)).toEqual({ baseOffset: 6n, lastOffset: 6n });
  await producer.commit();
  const read = await readTopic(inject("brokers"), topic);
  expect(read.map(({ partition, offset, key, value }) => [partition, offset, key, value])).toEqual([
    [0, 0n, "key of a", "a"],
    [0, 1n, "key of b", "b"],
    [0, 2n, "key of c", "c"],
    [0, 6n, "key of e", "e"],
    [1, 0n, "key of d é 😀", "d é 😀"],
  ]);
});

test("nothing is visible before the commit", async ({ connection, newTopic, newProducer }) => {
  const topic = await newTopic();
  const producer = newProducer();
  await producer.takeOver();
  await producer.produce(records(topic, { 0: ["a"] }));
  expect(await fetchOffsets(connection, topic, 0)).toEqual({ earliest: 0n, lastStable: 0n, highWatermark: 1n });
  await producer.commit();
  expect(await valuesOf(topic)).toEqual(["a"]);
});

test("empty steps ask nothing of the broker", async ({ newTopic, newProducer }) => {
  const topic = await newTopic({ partitions: 2 });
  const producer = newProducer();
  await producer.takeOver();
  await producer.commit();
  await producer.abort();
  await producer.begin([]);
  expect(await producer.produce(new Map())).toEqual(new Map());
  expect(await producer.produce(records(topic, { 0: [], 1: [] }))).toEqual(new Map());
  await producer.commit();
  await producer.begin([{ topic, partition: 1 }]);
  await producer.commit(); // a transaction without records
  await producer.produce(records(topic, { 0: ["a"], 1: [] }));
  await producer.commit();
  expect(await valuesOf(topic)).toEqual(["a"]);
});

test("20,000 records over 4 partitions in one transaction keep their order", async ({ newTopic, newProducer }) => {
  const topic = await newTopic({ partitions: 4 });
  const producer = newProducer();
  await producer.takeOver();
  const filler = "x".repeat(300);
  const partitions = Object.fromEntries(
    [0, 1, 2, 3].map((partition) => [partition, Array.from({ length: 5000 }, (_, i) => `${i} ${filler}`)]),
  );
  const offsets = await producer.produce(records(topic, partitions));
  const more = await producer.produce(records(topic, { 3: ["last"] }));
  await producer.commit();
  for (const partition of [0, 1, 2, 3]) {
    expect(offsets.get(topic)?.get(partition)).toEqual({ baseOffset: 0n, lastOffset: 4999n });
  }
  expect(more.get(topic)?.get(3)).toEqual({ baseOffset: 5000n, lastOffset: 5000n });
  const read = await readTopic(inject("brokers"), topic);
  expect(read).toHaveLength(20_001);
  for (const { offset, value } of read.slice(0, 20_000)) {
    expect(value?.startsWith(`${offset} `)).toBe(true);
  }
});

test("200 small transactions, one right after the other", async ({ newTopic, newProducer }) => {
  const topic = await newTopic({ partitions: 2 });
  const producer = newProducer();
  await producer.takeOver();
  const start = performance.now();
  for (let i = 0; i < 200; i++) {
    await producer.begin([
      { topic, partition: 0 },
      { topic, partition: 1 },
    ]);
    await producer.produce(records(topic, { 0: [`${i}`] }));
    await producer.produce(records(topic, { 1: [`progress ${i}`] }));
    await producer.commit();
  }
  const seconds = (performance.now() - start) / 1000;
  // kafkajs's back-off of 300 ms at CONCURRENT_TRANSACTIONS would make it 60 s and more.
  expect(seconds).toBeLessThan(20);
  const read = await readTopic(inject("brokers"), topic);
  expect(read.filter(({ partition }) => partition === 0).map(({ value }) => value)).toEqual(
    Array.from({ length: 200 }, (_, i) => `${i}`),
  );
  expect(read).toHaveLength(400);
});

test("a record of 12 MB passes where the topic takes it, and is refused by name where not", async ({
  newTopic,
  newProducer,
}) => {
  const roomy = await newTopic({ configs: { "max.message.bytes": String(16 * 1024 * 1024) } });
  const narrow = await newTopic();
  const producer = newProducer();
  await producer.takeOver();
  const large = "é".repeat(6_000_000);
  await producer.produce(records(roomy, { 0: ["before", large, "after"] }));
  await producer.commit();
  await expect(producer.produce(records(narrow, { 0: ["before", large, "after"] }))).rejects.toMatchObject({
    code: "RECORD_TOO_LARGE",
    message: expect.stringMatching(new RegExp(`\\d{8} bytes.*${narrow} .*partition 0`)),
  });
  await producer.abort();
  await producer.produce(records(narrow, { 0: ["small"] }));
  await producer.commit();
  expect(await valuesOf(roomy)).toEqual(["before", large, "after"]);
  expect(await valuesOf(narrow)).toEqual(["small"]);
});

test("a topic that takes only small batches gets small ones", async ({ newTopic, newProducer }) => {
  const topic = await newTopic({ partitions: 2, configs: { "max.message.bytes": "20000" } });
  const producer = newProducer();
  await producer.takeOver();
  const values = Array.from({ length: 1000 }, (_, i) => `${i} ${"x".repeat(200)}`);
  for (let round = 0; round < 2; round++) {
    const offsets = await producer.produce(records(topic, { 0: values, 1: values }));
    expect(offsets.get(topic)?.get(1)?.lastOffset).toBe(round === 0 ? 999n : 2000n);
    await producer.commit();
  }
  expect((await valuesOf(topic)).slice(0, 2000)).toEqual([...values, ...values]);
});

test("the later producer fences the earlier one, which learns it from its own identity alone", async ({
  newTopic,
  newProducer,
}) => {
  const topic = await newTopic();
  const transactionalId = unique("tx");
  const zombie = newProducer({ transactionalId });
  await zombie.takeOver();
  await zombie.produce(records(topic, { 0: ["lost"] }));
  const owner = newProducer({ transactionalId });
  await owner.takeOver();
  await owner.produce(records(topic, { 0: ["kept"] }));
  await expect(zombie.commit()).rejects.toMatchObject({ name: "AmbiguousOutcome" });
  await expect(zombie.produce(records(topic, { 0: ["lost"] }))).rejects.toMatchObject({ name: "AmbiguousOutcome" });
  await owner.commit();
  await expect(zombie.reinitialise()).rejects.toMatchObject({ code: "PRODUCER_FENCED" });
  await expect(zombie.reinitialise()).rejects.toMatchObject({ code: "PRODUCER_FENCED" });
  await owner.reinitialise();
  await owner.produce(records(topic, { 0: ["kept too"] }));
  await owner.commit();
  expect(await valuesOf(topic)).toEqual(["kept", "kept too"]);
});

test("a zombie's question ends the owner's open transaction, but not its ownership", async ({
  newTopic,
  newProducer,
}) => {
  const topic = await newTopic();
  const transactionalId = unique("tx");
  const zombie = newProducer({ transactionalId });
  await zombie.takeOver();
  const owner = newProducer({ transactionalId });
  await owner.takeOver();
  await owner.produce(records(topic, { 0: ["lost"] }));
  await expect(zombie.reinitialise()).rejects.toMatchObject({ code: "PRODUCER_FENCED" });
  await expect(owner.commit()).rejects.toMatchObject({ name: "AmbiguousOutcome" });
  await owner.reinitialise();
  await owner.produce(records(topic, { 0: ["kept"] }));
  await owner.commit();
  expect(await valuesOf(topic)).toEqual(["kept"]);
});

test("a fenced producer's records are refused while the owner has a transaction open", async ({
  newTopic,
  newProducer,
}) => {
  const topic = await newTopic();
  const transactionalId = unique("tx");
  const zombie = newProducer({ transactionalId });
  await zombie.takeOver();
  await zombie.begin([{ topic, partition: 0 }]);
  const owner = newProducer({ transactionalId });
  await owner.takeOver();
  await owner.produce(records(topic, { 0: ["kept"] }));
  await expect(zombie.produce(records(topic, { 0: ["lost"] }))).rejects.toMatchObject({ name: "AmbiguousOutcome" });
  await owner.commit();
  expect(await valuesOf(topic)).toEqual(["kept"]);
});

test("after a refusal the transaction is aborted and the next one is whole", async ({ newTopic, newProducer }) => {
  const topic = await newTopic({ configs: { "cleanup.policy": "compact" } });
  const other = await newTopic();
  const producer = newProducer();
  await producer.takeOver();
  await producer.produce(records(other, { 0: ["lost"] }));
  const keyless = new Map<string, Map<number, ProducerRecord[]>>([
    [topic, new Map([[0, [{ key: null, value: "v" }]]])],
    [other, new Map([[0, [{ key: "k", value: "lost too" }]]])],
  ]);
  await expect(producer.produce(keyless)).rejects.toMatchObject({ code: "KAFKA_RECORD_REFUSED" });
  await expect(producer.commit()).rejects.toThrow(TypeError);
  await producer.abort();
  await producer.produce(records(other, { 0: ["kept"] }));
  await producer.commit();
  expect(await valuesOf(other)).toEqual(["kept"]);
});

test("a topic that does not exist is named and not created", async ({ connection, newProducer }) => {
  const producer = newProducer();
  const absent = unique("absent");
  await producer.takeOver();
  await expect(producer.produce(records(absent, { 0: ["a"] }))).rejects.toMatchObject({
    code: "TOPIC_MISSING",
    message: expect.stringContaining(absent),
  });
  const { topics } = await connection.metadata([absent]);
  expect(topics).toMatchObject([{ error: 3, name: absent }]);
});
