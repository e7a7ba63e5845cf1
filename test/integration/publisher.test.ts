// What the publisher doesn't do: try for ever what Kafka never takes, or publish from a position that is an old one.
import { expect, inject } from "vitest";
import { type Lsn, parseLsn } from "../../src/event/lsn.ts";
import type { Progress } from "../../src/event/progress.ts";
import { KafkaConnection } from "../../src/kafka/connection.ts";
import { AmbiguousOutcome } from "../../src/kafka/errors.ts";
import { waitUntilNoOpenTransaction } from "../../src/sink/held-topics.ts";
import { readProgress } from "../../src/sink/progress-log.ts";
import { Publisher } from "../../src/sink/publisher.ts";
import { kafkaTest as test } from "../support/kafka-fixture.ts";
import { API, KafkaProxy } from "../support/kafka-proxy.ts";
import { readTopic } from "../support/topics.ts";

const PROGRESS: Progress = {
  stream: "patient",
  epoch: 1,
  firstSequence: 1,
  sequence: 0,
  completeSequence: 0,
  endLsn: parseLsn("0/10"),
  last: null,
  systemId: "1",
  timeline: 1,
  database: 1,
  slot: "s",
  publication: 1,
  resume: "r",
  partitions: new Map(),
  snapshot: [],
};
const PATIENCE_MS = 3_000;

test("the coordinator answers, the partition never does", async ({ newTopic, newProducer }) => {
  const topic = await newTopic();
  const proxy = await KafkaProxy.start();
  const through = await KafkaConnection.connect({ brokers: proxy.addresses, clientId: "t", requestTimeoutMs: 5_000 });
  try {
    const producer = newProducer({ connection: through });
    await producer.takeOver();
    const publisher = new Publisher(through, producer, PROGRESS, {
      progressTopic: topic,
      schemasTopic: topic,
      transactionTimeoutMs: 60_000,
      progressEnd: 0n,
      stored: null,
      knownSchemas: [],
      patienceMs: PATIENCE_MS,
    });
    for (let time = 0; time < 1_000; time++) {
      proxy.loseReply(API.produce);
    }
    const start = performance.now();
    const error = await publisher.publish({ ...PROGRESS, events: [] }).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(AmbiguousOutcome);
    expect(performance.now() - start).toBeGreaterThanOrEqual(PATIENCE_MS);
    expect(performance.now() - start).toBeLessThan(PATIENCE_MS + 10_000);
    // It pauses: the broker is not asked as fast as it answers.
    expect(proxy.requests.filter((apiKey) => apiKey === API.produce).length).toBeLessThan(PATIENCE_MS / 250 + 3);
    await producer.reinitialise();
    expect(await readTopic(inject("brokers"), topic)).toEqual([]);
  } finally {
    await through.close();
    await proxy.close();
  }
});

test("a position that is not the topic's last one publishes nothing; read again, it goes on", async ({
  connection,
  newTopic,
  newProducer,
}) => {
  const topic = await newTopic();
  const producer = newProducer();
  await producer.takeOver();
  const publisher = (progress: Progress, progressEnd: bigint) =>
    new Publisher(connection, producer, progress, {
      progressTopic: topic,
      schemasTopic: topic,
      transactionTimeoutMs: 60_000,
      progressEnd,
      stored: progressEnd === 0n ? null : progress,
      knownSchemas: [],
    });
  const next = (progress: Progress) => ({ ...progress, endLsn: (progress.endLsn + 16n) as Lsn, events: [] });
  const first = publisher(PROGRESS, 0n);
  const old = await first.publish(next(PROGRESS));
  const last = await first.publish(next(old));
  // As a leader would tell it that was stopped before the second record.
  await expect(publisher(old, 2n).publish(next(old))).rejects.toMatchObject({ code: "PROGRESS_MOVED" });
  const end = await waitUntilNoOpenTransaction(connection, topic, 10_000);
  expect(await readProgress(connection, topic)).toEqual(last);
  const again = publisher(last, end);
  await again.publish(next(last));
  await again.publish(next(next(last)));
  expect((await readTopic(inject("brokers"), topic)).length).toBe(4);
});
