// Whatever reply is lost, and whenever the broker is killed: every number once, in order, in both partitions.
import { expect, inject, test as plain } from "vitest";
import { unique } from "../../dev/servers/database.ts";
import { startServers } from "../../dev/servers/servers.ts";
import { KafkaConnection } from "../../src/kafka/connection.ts";
import { createTopic } from "../../src/kafka/topics.ts";
import { TransactionalProducer } from "../../src/kafka/transactional-producer.ts";
import { kafkaTest as test } from "../support/kafka-fixture.ts";
import { API, KafkaProxy } from "../support/kafka-proxy.ts";
import { NumberedWriter } from "../support/numbered-writer.ts";
import { readTopic } from "../support/topics.ts";

async function expectEachOnce(brokers: string[], topic: string, count: number): Promise<void> {
  const read = await readTopic(brokers, topic);
  const numbers = Array.from({ length: count }, (_, i) => `${i}`);
  for (const partition of [0, 1]) {
    expect(read.filter((record) => record.partition === partition).map(({ value }) => value)).toEqual(numbers);
  }
}

const { addPartitions, produce, endTxn, initProducerId, findCoordinator, metadata } = API;

test("replies lost at every step", async ({ newTopic, newProducer }) => {
  const [topic, progressTopic] = [await newTopic({ partitions: 2 }), await newTopic()];
  const proxy = await KafkaProxy.start();
  const connection = await KafkaConnection.connect({
    brokers: proxy.addresses,
    clientId: "afterimage-test",
    connectionTimeoutMs: 1_000,
    requestTimeoutMs: 1_000,
  });
  try {
    await newProducer().takeOver(); // the first one of a broker waits for its coordinator
    const producer = newProducer({ connection });
    await producer.takeOver();
    const writer = new NumberedWriter(connection, producer, topic, progressTopic);
    const faults: (() => void)[] = [];
    for (const kind of ["loseReply", "holdReply"] as const) {
      for (const step of [addPartitions, produce, endTxn]) {
        faults.push(() => proxy[kind](step));
        faults.push(() => {
          proxy[kind](step);
          proxy[kind](initProducerId);
        });
        faults.push(() => {
          proxy[kind](step);
          proxy.loseReply(findCoordinator);
          proxy.loseReply(metadata);
          proxy.loseReply(initProducerId);
          proxy.loseReply(initProducerId);
        });
      }
    }
    for (const [number, plan] of faults.entries()) {
      plan();
      await writer.write(number);
    }
    expect(writer.ambiguities).toBeGreaterThanOrEqual(faults.length);
    await expectEachOnce(inject("brokers"), topic, faults.length);
  } finally {
    await connection.close();
    await proxy.close();
  }
});

plain("the broker is killed while transactions run", { timeout: 180_000 }, async () => {
  const servers = await startServers({ own: true });
  try {
    const connection = await KafkaConnection.connect({
      brokers: servers.brokers,
      clientId: "afterimage-test",
      requestTimeoutMs: 5_000,
    });
    const [topic, progressTopic] = [unique("t"), unique("t")];
    for (const [name, partitions] of [
      [topic, 2],
      [progressTopic, 1],
    ] as const) {
      await createTopic(connection, { name, partitions, replicationFactor: -1, configs: {} });
    }
    const producer = new TransactionalProducer(connection, {
      transactionalId: unique("tx"),
      transactionTimeoutMs: 60_000,
    });
    await producer.takeOver();
    const writer = new NumberedWriter(connection, producer, topic, progressTopic);
    const count = 200;
    let broken: Promise<void> | undefined;
    for (let number = 0; number < count; number++) {
      if (number === 50) {
        broken = servers.kafka!.kill().then(() => servers.kafka!.start());
      }
      await writer.write(number);
    }
    await broken;
    expect(writer.ambiguities).toBeGreaterThan(0);
    await expectEachOnce(servers.brokers, topic, count);
    await connection.close();
  } finally {
    await servers.stop();
  }
});
