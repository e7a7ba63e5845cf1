// What readers get: committed records with their producers, to the end, and by one who follows through a broker's death.
import { afterAll, beforeAll, expect, test } from "vitest";
import { type OwnServer, startKafka } from "../../dev/servers/servers.ts";
import { settledTransactions } from "../../dev/servers/settled.ts";
import { KafkaConnection } from "../../src/kafka/connection.ts";
import { createTopic } from "../../src/kafka/topics.ts";
import { TransactionalProducer } from "../../src/kafka/transactional-producer.ts";
import { uniqueStream } from "../support/database.ts";
import { Follower, readStream } from "./collect-kafka.ts";
import type { ReadRecord } from "./evidence.ts";

let kafka: OwnServer;
beforeAll(async () => {
  kafka = await startKafka();
});
afterAll(() => kafka?.remove());

/** A producer on a connection of its own, and what it does. */
async function openWriter(transactionalId: string) {
  const connection = await KafkaConnection.connect({ brokers: [kafka.address], clientId: "afterimage-test" });
  const producer = new TransactionalProducer(connection, { transactionalId, transactionTimeoutMs: 60_000 });
  await producer.takeOver();
  return {
    async write(topic: string, values: readonly string[], ending: "commit" | "abort" = "commit") {
      await producer.begin([{ topic, partition: 0 }]);
      const records = values.map((value) => ({ key: `key of ${value}`, value }));
      await producer.produce(new Map([[topic, new Map([[0, records]])]]));
      await producer[ending]();
    },
    create: (name: string) => createTopic(connection, { name, partitions: 2, replicationFactor: -1, configs: {} }),
    close: () => connection.close(),
  };
}

const byPlace = (records: readonly ReadRecord[]) =>
  [...records].sort(
    (a, b) => a.topic.localeCompare(b.topic) || a.partition - b.partition || Number(a.offset - b.offset),
  );

test("a follower sees what is committed, once, in order, with its producers, also when the broker dies", async () => {
  const stream = uniqueStream();
  const [table, later, progress] = [`${stream}.public.t`, `${stream}.public.later`, `${stream}.progress`];
  const first = await openWriter(stream);
  for (const topic of [table, progress, `${stream}.schemas`]) await first.create(topic);
  await first.write(table, ["1", "2"]);
  const follower = await Follower.start([kafka.address], stream);
  try {
    await first.write(table, ["never"], "abort");
    await first.write(table, ["3"]);
    await first.write(`${stream}.schemas`, ["a schema"]);
    await first.close();
    // A coordinator that finds a partition without leader when it starts takes the topic for a deleted one, and never
    // writes the marker of a transaction that it had promised to commit (seen with Kafka 4.3.1).
    await settledTransactions([kafka.address], 60_000);
    await kafka.kill();
    await kafka.start();
    const second = await openWriter(stream);
    await second.create(later);
    await second.write(table, ["4"]);
    await second.write(later, ["5"]);
    await second.write(progress, ["progress"]);
    await second.close();

    await follower.reached();
    const { records, progress: stored, schemas } = await readStream([kafka.address], stream);
    expect(byPlace(follower.records)).toEqual(byPlace([...records, ...stored]));
    expect(records.filter(({ topic }) => topic === table).map(({ value }) => value)).toEqual(["1", "2", "3", "4"]);
    expect(records.filter(({ topic }) => topic === later).map(({ value }) => value)).toEqual(["5"]);
    expect(schemas.map(({ value }) => value)).toEqual(["a schema"]);
    expect(stored.map(({ key, value }) => [key, value])).toEqual([["key of progress", "progress"]]);
    const epochs = records.filter(({ topic }) => topic === table).map(({ producerEpoch }) => producerEpoch);
    expect([...new Set(epochs)].length).toBe(2);
    expect(epochs.at(-1)).toBeGreaterThan(epochs[0]!);
    expect(new Set(records.map(({ producerId }) => producerId)).size).toBe(1);
  } finally {
    await follower.stop();
  }
});
