// A first start that meets lost replies, and topics that others wrote to, held, deleted or changed.
import { afterEach, expect, inject, test } from "vitest";
import { KafkaConnection } from "../../src/kafka/connection.ts";
import { waitUntilNoOpenTransaction, waitUntilNothingHeld } from "../../src/sink/held-topics.ts";
import { Topics } from "../../src/sink/topics.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { API, KafkaProxy } from "../support/kafka-proxy.ts";
import { kafkaClient, makeTopics, removeTopics } from "../support/topics.ts";

let stream: CapturedStream;
let proxy: KafkaProxy | null = null;
afterEach(async () => {
  await stream.drop();
  await proxy?.close();
  proxy = null;
});

const TABLE = "CREATE TABLE t (id int PRIMARY KEY)";

/** A topic with one committed record that nobody of this stream wrote. */
async function foreignTopic(topic: string): Promise<void> {
  await makeTopics(inject("brokers"), [{ topic, numPartitions: 4 }]);
  const producer = kafkaClient().producer();
  await producer.connect();
  await producer.send({ topic, messages: [{ value: "not ours" }] });
  await producer.disconnect();
}

async function restartWithout(topic: string): Promise<string> {
  await stream.daemon.kill("SIGTERM");
  await removeTopics(stream.brokers, [topic]);
  const halted = stream.spawn();
  expect((await halted.exited()).code).not.toBe(0);
  return halted.output();
}

test.each(["addPartitions", "produce", "endTxn"] as const)("the first %s reply is lost: it goes on", async (api) => {
  proxy = await KafkaProxy.start();
  proxy.loseReply(API[api]);
  stream = await CapturedStream.create(TABLE, { AFTERIMAGE_KAFKA_BROKERS: proxy.addresses.join(",") });
  await stream.sql("INSERT INTO t VALUES (1)");
  expect((await stream.events()).map(({ sequence }) => sequence)).toEqual([1]);
});

test("a table that appears while it runs is not published into a topic that others wrote: TOPIC_FOREIGN", async () => {
  stream = await CapturedStream.create(`${TABLE}; CREATE PUBLICATION everything FOR ALL TABLES`, {
    AFTERIMAGE_POSTGRES_PUBLICATION: "everything",
  });
  await foreignTopic(`${stream.stream}.public.later`);
  await stream.sql("CREATE TABLE later (id int PRIMARY KEY)");
  await stream.sql("INSERT INTO later VALUES (1)");
  expect((await stream.daemon.exited()).code).not.toBe(0);
  expect(stream.daemon.output()).toContain("TOPIC_FOREIGN");
});

test("events without a progress record: PROGRESS_MISSING, and nothing is published", async () => {
  stream = await CapturedStream.create(TABLE);
  await stream.sql("INSERT INTO t VALUES (1)");
  await stream.published();
  expect(await restartWithout(`${stream.stream}.progress`)).toContain("PROGRESS_MISSING");
  expect((await stream.stored()).length).toBe(1);
});

test("neither progress record nor events, but there were some: PROGRESS_MISSING, or numbers would begin anew", async () => {
  stream = await CapturedStream.create(TABLE);
  await stream.sql("INSERT INTO t SELECT generate_series(1, 20)");
  await stream.published();
  await stream.daemon.kill("SIGTERM");
  const admin = kafkaClient().admin();
  await admin.connect();
  for (const topic of [`${stream.stream}.public.t`, `${stream.stream}.schemas`]) {
    const offsets = await admin.fetchTopicOffsets(topic);
    await admin.deleteTopicRecords({
      topic,
      partitions: offsets.map(({ partition }) => ({ partition, offset: "-1" })),
    });
  }
  await admin.disconnect();
  expect(await stream.stored()).toEqual([]);
  expect(await restartWithout(`${stream.stream}.progress`)).toContain("PROGRESS_MISSING");
});

test("the shapes are gone, the position is not: SCHEMAS_MISSING, or ids would begin anew", async () => {
  stream = await CapturedStream.create(TABLE);
  await stream.sql("INSERT INTO t VALUES (1)");
  await stream.published();
  expect(await restartWithout(`${stream.stream}.schemas`)).toContain("SCHEMAS_MISSING");
});

test("a topic that was deleted and made again: TOPIC_RECREATED", async () => {
  stream = await CapturedStream.create(TABLE);
  const topic = `${stream.stream}.public.t`;
  await stream.sql("INSERT INTO t VALUES (1)");
  await stream.published();
  await stream.daemon.kill("SIGTERM");
  await removeTopics(stream.brokers, [topic]);
  await makeTopics(stream.brokers, [{ topic, numPartitions: 4 }]);
  const halted = stream.spawn();
  expect((await halted.exited()).code).not.toBe(0);
  expect(halted.output()).toContain("TOPIC_RECREATED");
});

test("a topic that gets more partitions while it runs: TOPIC_REPARTITIONED within seconds", async () => {
  stream = await CapturedStream.create(TABLE);
  await stream.published();
  const admin = kafkaClient().admin();
  await admin.connect();
  await admin.createPartitions({ topicPartitions: [{ topic: `${stream.stream}.public.t`, count: 8 }] });
  await admin.disconnect();
  expect((await stream.daemon.exited()).code).not.toBe(0);
  expect(stream.daemon.output()).toContain("TOPIC_REPARTITIONED");
});

test("an open transaction of another producer on the progress topic: PROGRESS_HELD", async () => {
  stream = await CapturedStream.create(TABLE);
  await stream.daemon.kill("SIGTERM");
  const topic = `${stream.stream}.progress`;
  const producer = kafkaClient().producer({ transactionalId: `${stream.stream}-other`, maxInFlightRequests: 1 });
  await producer.connect();
  const transaction = await producer.transaction();
  await transaction.send({ topic, messages: [{ key: "x", value: "{}" }] });
  const connection = await KafkaConnection.connect({ brokers: inject("brokers"), clientId: "afterimage-test" });
  await expect(waitUntilNoOpenTransaction(connection, topic, 200)).rejects.toMatchObject({ code: "PROGRESS_HELD" });
  await transaction.abort();
  await expect(waitUntilNoOpenTransaction(connection, topic, 10_000)).resolves.toBeTypeOf("bigint");
  await connection.close();
  await producer.disconnect();
});

test("an open transaction of another producer on a table's topic: TOPIC_HELD, however a start or a retry looks", async () => {
  stream = await CapturedStream.create(TABLE);
  await stream.published();
  await stream.daemon.kill("SIGTERM");
  const topic = `${stream.stream}.public.t`;
  const producer = kafkaClient().producer({ transactionalId: `${stream.stream}-other`, maxInFlightRequests: 1 });
  await producer.connect();
  const transaction = await producer.transaction();
  await transaction.send({ topic, messages: [{ key: "x", value: "{}", partition: 2 }] });
  const connection = await KafkaConnection.connect({ brokers: inject("brokers"), clientId: "afterimage-test" });
  const places = [0, 1, 2, 3].map((partition) => ({ topic, partition }));
  const settings = { stream: stream.stream, partitions: 4, replicationFactor: -1, overrides: [] };
  const topics = new Topics(connection, settings);
  const kept = [{ table: "public.t", topicId: (await topics.findExisting(topic)).id }];
  await expect(waitUntilNothingHeld(connection, places, 200)).rejects.toMatchObject({
    code: "TOPIC_HELD",
    message: expect.stringContaining("partition 2"),
  });
  await expect(topics.verifyKept(kept, undefined, 200)).rejects.toMatchObject({ code: "TOPIC_HELD" });
  await expect(topics.checkUnused(topic, 200)).rejects.toMatchObject({ code: "TOPIC_HELD" });
  await transaction.abort();
  await waitUntilNothingHeld(connection, places, 10_000);
  await topics.verifyKept(kept, undefined, 10_000);
  await connection.close();
  await producer.disconnect();
});
