// What Kafka does to a stream that runs: requests that arrive after their transaction is over, transactions that the broker
// ends, rows near its limits, topics that are deleted.
import { randomBytes } from "node:crypto";
import { afterEach, expect, inject, test } from "vitest";
import { KafkaConnection } from "../../src/kafka/connection.ts";
import { fetchOffsets } from "../../src/kafka/offsets.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { slotsReleased } from "../support/database.ts";
import { kafkaTest, records } from "../support/kafka-fixture.ts";
import { API, KafkaProxy } from "../support/kafka-proxy.ts";
import { kafkaClient, listTopics, readTopic, removeTopics } from "../support/topics.ts";
import { waitFor } from "../support/wait-for.ts";

let stream: CapturedStream | null = null;
let proxy: KafkaProxy | null = null;
afterEach(async () => {
  await stream?.drop();
  await proxy?.close();
  stream = null;
  proxy = null;
});

const TABLE = "CREATE TABLE t (id int PRIMARY KEY, note text DEFAULT repeat('x', 900))";
const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, at) => from + at);

test("stopped past the transaction timeout, in the middle of a transaction: nothing of its first half is ever seen", async () => {
  const open = await KafkaProxy.start();
  proxy = open;
  // In place of 60 s; the broker ends it at its next look after that.
  open.limitTransactions(2_000);
  const events = await CapturedStream.create(TABLE, {
    AFTERIMAGE_KAFKA_BROKERS: open.addresses.join(","),
    AFTERIMAGE_BATCH_MAX_BYTES: "64KiB",
  });
  stream = events;
  await events.sql("INSERT INTO t SELECT generate_series(1, 10)");
  await events.published();
  const { daemon } = events;
  let stopped = false;
  const stop = () => {
    stopped = process.kill(daemon.pid, "SIGSTOP");
  };
  open.strikeAt(API.produce, 2, "reply", stop, { cut: false, naming: `${events.stream}.public.t` });
  await events.sql("INSERT INTO t SELECT generate_series(11, 1000)");
  await waitFor(() => stopped, { what: "the daemon to be stopped" });
  const connection = await KafkaConnection.connect({ brokers: inject("brokers"), clientId: "afterimage-test" });
  try {
    const topic = `${events.stream}.public.t`;
    const isOpen = async () => {
      const offsets = await Promise.all([0, 1, 2, 3].map((partition) => fetchOffsets(connection, topic, partition)));
      return offsets.some(({ lastStable, highWatermark }) => lastStable < highWatermark);
    };
    await waitFor(async () => !(await isOpen()), { what: "the broker to end the transaction" });
    const [all, committed] = await Promise.all(
      [false, true].map((readCommitted) => readTopic(events.brokers, topic, { readCommitted })),
    );
    expect(all!.length).toBeGreaterThan(committed!.length); // it was open, and its half is there
  } finally {
    await connection.close();
  }
  const before = (await events.stored()).map(({ event }) => event.sequence);
  expect(before).toEqual(numbers(1, (await events.progress())!.sequence));
  process.kill(daemon.pid, "SIGCONT");
  expect((await events.events()).map(({ key }) => key?.id)).toEqual(numbers(1, 1000));
  expect((await events.stored()).map(({ event }) => event.sequence)).toEqual(numbers(1, 1000));
});

kafkaTest(
  "requests of a transaction that arrive once it is over neither end nor enter the next one",
  async ({ newTopic, newProducer }) => {
    const topic = await newTopic();
    const lossy = await KafkaProxy.start();
    const through = await KafkaConnection.connect({
      brokers: lossy.addresses,
      clientId: "afterimage-test",
      requestTimeoutMs: 5_000,
    });
    try {
      await newProducer().takeOver(); // the first one of a broker waits for its coordinator
      const producer = newProducer({ connection: through });
      await producer.takeOver();
      await producer.produce(records(topic, { 0: ["first"] }));
      lossy.holdRequest(API.endTxn);
      await expect(producer.commit()).rejects.toMatchObject({ name: "AmbiguousOutcome" });
      await producer.reinitialise();
      await producer.produce(records(topic, { 0: ["second"] }));
      // Now the broker gets it, on the connection that it was sent on.
      expect(await lossy.releaseHeld()).toBe(1);
      expect((await readTopic(inject("brokers"), topic)).map(({ value }) => value)).toEqual([]);
      await producer.produce(records(topic, { 0: ["third"] }));
      await producer.commit();
      expect((await readTopic(inject("brokers"), topic)).map(({ value }) => value)).toEqual(["second", "third"]);
    } finally {
      await through.close();
      await lossy.close();
    }
  },
);

test("2 MB that can't be compressed pass the broker's default limit of 1 MiB; the row after it too", async () => {
  stream = await CapturedStream.create("CREATE TABLE t (id int PRIMARY KEY, note text)");
  const note = randomBytes(1_500_000).toString("base64");
  await stream.sql("INSERT INTO t VALUES (1, $1)", [note]);
  await stream.sql("UPDATE t SET note = $1", [`${note}!`]);
  await stream.sql("INSERT INTO t VALUES (2, 'small')");
  const events = await stream.events();
  expect(events).toMatchObject([{ after: { note } }, { after: { note: `${note}!` } }, { after: { note: "small" } }]);
});

test("a topic that is deleted under the daemon: TOPIC_MISSING, and nobody makes it again", async () => {
  stream = await CapturedStream.create(TABLE);
  const topic = `${stream.stream}.public.t`;
  await stream.sql("INSERT INTO t SELECT generate_series(1, 10)");
  await stream.published();
  await removeTopics(stream.brokers, [topic]);
  await stream.sql("INSERT INTO t SELECT generate_series(11, 20)");
  expect(await stream.daemon.exited()).toMatchObject({ code: 4 });
  expect(stream.daemon.output()).toContain('"code":"TOPIC_MISSING"');
  const again = stream.spawn();
  expect(await again.exited()).toMatchObject({ code: 4 });
  expect(again.output()).toContain("TOPIC_MISSING");
  expect(await listTopics(stream.brokers, topic)).toEqual([]);
  expect(await stream.confirmedFlushLsn()).toBeLessThanOrEqual((await stream.progress())!.endLsn);
  expect((await stream.progress())!.sequence).toBe(10);
});

test("partitions added while the daemon is down: TOPIC_PARTITIONS, and TOPIC_REPARTITIONED once they are configured", async () => {
  stream = await CapturedStream.create(TABLE);
  await stream.sql("INSERT INTO t SELECT generate_series(1, 10)");
  await stream.published();
  await stream.daemon.kill("SIGTERM");
  await slotsReleased(stream.database.url);
  const admin = kafkaClient().admin();
  await admin.connect();
  await admin.createPartitions({ topicPartitions: [{ topic: `${stream.stream}.public.t`, count: 8 }] });
  await admin.disconnect();
  await stream.sql("INSERT INTO t SELECT generate_series(11, 20)");
  const before = await stream.confirmedFlushLsn();
  for (const [partitions, code] of [
    ["4", "TOPIC_PARTITIONS"],
    ["8", "TOPIC_REPARTITIONED"],
  ] as const) {
    const halted = stream.spawn({ AFTERIMAGE_KAFKA_PARTITIONS: partitions });
    expect(await halted.exited()).toMatchObject({ code: 4 });
    await slotsReleased(stream.database.url);
    expect(halted.output()).toContain(`"code":"${code}"`);
    expect(await stream.confirmedFlushLsn()).toBe(before);
    expect((await stream.stored()).length).toBe(10);
  }
});
