// Replies that are lost on the way back from a real broker: never success nor failure, always AmbiguousOutcome, and
// reinitialise() settles it.
import { test as base, expect, inject } from "vitest";
import { KafkaConnection } from "../../src/kafka/connection.ts";
import { AmbiguousOutcome } from "../../src/kafka/errors.ts";
import { describeTopics } from "../../src/kafka/topics.ts";
import { TransactionalProducer } from "../../src/kafka/transactional-producer.ts";
import { unique } from "../support/database.ts";
import { kafkaTest, records } from "../support/kafka-fixture.ts";
import { API, KafkaProxy } from "../support/kafka-proxy.ts";
import { readTopic } from "../support/topics.ts";

/** Long enough for whatever the broker answers on a busy machine: only what is held may take longer. */
const REQUEST_MS = 5_000;

// Most of the time is spent waiting for what never comes, so the tests run side by side.
const test = kafkaTest.extend<{ proxy: KafkaProxy; through: KafkaConnection }>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads the fixtures used from the pattern
  proxy: async ({}, use) => {
    const proxy = await KafkaProxy.start();
    await use(proxy);
    await proxy.close();
  },
  through: async ({ proxy }, use) => {
    const connection = await KafkaConnection.connect({
      brokers: proxy.addresses,
      clientId: "afterimage-test",
      connectionTimeoutMs: REQUEST_MS,
      requestTimeoutMs: REQUEST_MS,
    });
    await use(connection);
    await connection.close();
  },
});

const valuesOf = async (topic: string) => (await readTopic(inject("brokers"), topic)).map(({ value }) => value);

for (const fault of ["loseReply", "holdReply"] as const) {
  test.concurrent(`commit, ${fault}: the transaction is committed and the owner goes on`, async ({
    newTopic,
    newProducer,
    proxy,
    through,
  }) => {
    const topic = await newTopic();
    const producer = newProducer({ connection: through });
    await producer.takeOver();
    await producer.produce(records(topic, { 0: ["a"] }));
    proxy[fault](API.endTxn);
    const error = await producer.commit().catch((thrown) => thrown);
    expect(error).toBeInstanceOf(AmbiguousOutcome);
    expect(error.cause).toMatchObject({ code: "KAFKA_UNREACHABLE", sent: true });
    await expect(producer.commit()).rejects.toBeInstanceOf(AmbiguousOutcome);
    await producer.reinitialise();
    expect(await valuesOf(topic)).toEqual(["a"]);
    await producer.produce(records(topic, { 0: ["b"] }));
    await producer.commit();
    expect(await valuesOf(topic)).toEqual(["a", "b"]);
  });

  test.concurrent(`produce, ${fault}: the records are gone with the transaction`, async ({
    newTopic,
    newProducer,
    proxy,
    through,
  }) => {
    const topic = await newTopic({ partitions: 2 });
    const producer = newProducer({ connection: through });
    await producer.takeOver();
    await producer.produce(records(topic, { 0: ["lost"] }));
    proxy[fault](API.produce);
    await expect(producer.produce(records(topic, { 0: ["lost"], 1: ["lost"] }))).rejects.toBeInstanceOf(
      AmbiguousOutcome,
    );
    await producer.reinitialise();
    await producer.produce(records(topic, { 0: ["kept"], 1: ["kept"] }));
    await producer.commit();
    expect(await valuesOf(topic)).toEqual(["kept", "kept"]);
  });
}

test.concurrent("begin, reply lost", async ({ newTopic, newProducer, proxy, through }) => {
  const topic = await newTopic();
  const producer = newProducer({ connection: through });
  await producer.takeOver();
  proxy.loseReply(API.addPartitions);
  await expect(producer.begin([{ topic, partition: 0 }])).rejects.toBeInstanceOf(AmbiguousOutcome);
  await producer.reinitialise();
  await producer.produce(records(topic, { 0: ["a"] }));
  await producer.commit();
  expect(await valuesOf(topic)).toEqual(["a"]);
});

test.concurrent("abort, reply lost", async ({ newTopic, newProducer, proxy, through }) => {
  const topic = await newTopic();
  const producer = newProducer({ connection: through });
  await producer.takeOver();
  await producer.produce(records(topic, { 0: ["lost"] }));
  proxy.loseReply(API.endTxn);
  await expect(producer.abort()).rejects.toBeInstanceOf(AmbiguousOutcome);
  await producer.reinitialise();
  await producer.produce(records(topic, { 0: ["a"] }));
  await producer.commit();
  expect(await valuesOf(topic)).toEqual(["a"]);
});

test.concurrent("lost replies to InitProducerId are asked for again, with the same identity", async ({
  newTopic,
  newProducer,
  proxy,
  through,
}) => {
  const topic = await newTopic();
  const producer = newProducer({ connection: through });
  proxy.loseReply(API.initProducerId);
  await producer.takeOver();
  await producer.produce(records(topic, { 0: ["lost"] }));
  for (let round = 0; round < 3; round++) {
    proxy.loseReply(API.initProducerId);
    await producer.reinitialise();
  }
  await producer.produce(records(topic, { 0: ["a"] }));
  await producer.commit();
  expect(await valuesOf(topic)).toEqual(["a"]);
});

test.concurrent("an idle connection that was closed meanwhile is no ambiguity", async ({
  newTopic,
  newProducer,
  proxy,
  through,
}) => {
  const topic = await newTopic();
  const producer = newProducer({ connection: through });
  await producer.takeOver();
  for (const [index, value] of ["a", "b", "c"].entries()) {
    await producer.begin([{ topic, partition: 0 }]);
    await producer.produce(records(topic, { 0: [value] }));
    await producer.commit();
    if (index < 2) {
      proxy.refuse();
      await expect(through.metadata([])).rejects.toMatchObject({ code: "KAFKA_UNREACHABLE" });
      proxy.accept();
    }
  }
  expect(await valuesOf(topic)).toEqual(["a", "b", "c"]);
});

test.concurrent("a broker that stays away surfaces within the request timeout", async ({
  newTopic,
  newProducer,
  proxy,
  through,
}) => {
  const topic = await newTopic();
  const producer = newProducer({ connection: through });
  await producer.takeOver();
  await producer.produce(records(topic, { 0: ["lost"] }));
  proxy.refuse();
  const start = performance.now();
  const error = await producer.commit().catch((thrown) => thrown);
  expect(error).toBeInstanceOf(AmbiguousOutcome);
  expect(error.cause).toMatchObject({ code: "KAFKA_UNREACHABLE" });
  await expect(producer.reinitialise()).rejects.toMatchObject({ code: "KAFKA_UNREACHABLE" });
  await expect(describeTopics(through, [topic])).rejects.toMatchObject({ code: "KAFKA_UNREACHABLE" });
  expect(performance.now() - start).toBeLessThan(3 * REQUEST_MS + 3_000);
  proxy.accept();
  await producer.reinitialise();
  await producer.produce(records(topic, { 0: ["a"] }));
  await producer.commit();
  expect(await valuesOf(topic)).toEqual(["a"]);
});

test.concurrent("close ends requests under way", async ({ proxy, through }) => {
  proxy.holdReply(API.metadata);
  const asked = through.metadata([]).catch((thrown) => thrown);
  await expect.poll(() => proxy.requests.at(-1)).toBe(API.metadata);
  await through.close();
  expect(await asked).toMatchObject({ code: expect.stringMatching(/^KAFKA_(UNREACHABLE|CLOSED)$/) });
  await expect(through.metadata([])).rejects.toMatchObject({ code: "KAFKA_CLOSED" });
});

base.concurrent("nobody listens, and a name that leads nowhere", async () => {
  for (const brokers of [["127.0.0.1:1"], ["no-such-host.invalid:9092"], ["127.0.0.1:1", "127.0.0.1:2"]]) {
    const start = performance.now();
    await expect(KafkaConnection.connect({ brokers, clientId: "t", connectionTimeoutMs: 3_000 })).rejects.toMatchObject(
      {
        name: expect.any(String),
        code: "KAFKA_UNREACHABLE",
        message: expect.stringContaining(brokers.at(-1)!),
      },
    );
    expect(performance.now() - start).toBeLessThan(8_000);
  }
  const connection = await KafkaConnection.connect({ brokers: ["127.0.0.1:1", ...inject("brokers")], clientId: "t" });
  await connection.close();
});

test.concurrent.each([-1, 48, 49, 120])("InitProducerId answered with %i is asked again", async (error) => {
  const proxy = await KafkaProxy.start();
  const connection = await KafkaConnection.connect({
    brokers: proxy.addresses,
    clientId: "t",
    requestTimeoutMs: REQUEST_MS,
  });
  try {
    const producer = new TransactionalProducer(connection, {
      transactionalId: unique("tx"),
      transactionTimeoutMs: 60_000,
    });
    proxy.answerWith(API.initProducerId, error, 2);
    await producer.takeOver();
    proxy.answerWith(API.initProducerId, error, 2);
    await producer.reinitialise();
    proxy.answerWith(API.initProducerId, error, 1_000);
    await expect(producer.reinitialise()).rejects.toMatchObject({ code: "KAFKA_NOT_READY" });
  } finally {
    await connection.close();
    await proxy.close();
  }
});
