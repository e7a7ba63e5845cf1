// The proxy that Kafka faults are made with: requests held beyond their client's patience, delays, and leaders that move.
import { expect, inject, test } from "vitest";
import { KafkaConnection } from "../../src/kafka/connection.ts";
import { AmbiguousOutcome } from "../../src/kafka/errors.ts";
import { TransactionalProducer } from "../../src/kafka/transactional-producer.ts";
import { unique } from "../support/database.ts";
import { kafkaTest, records } from "../support/kafka-fixture.ts";
import { API, KafkaProxy } from "../support/kafka-proxy.ts";
import { readTopic } from "../support/topics.ts";
import { waitFor } from "../support/wait-for.ts";

async function through(proxy: KafkaProxy, requestTimeoutMs = 5_000): Promise<KafkaConnection> {
  return KafkaConnection.connect({
    brokers: proxy.addresses,
    clientId: "afterimage-test",
    connectionTimeoutMs: 5_000,
    requestTimeoutMs,
  });
}

const valuesOf = async (topic: string) => (await readTopic(inject("brokers"), topic)).map(({ value }) => value);

kafkaTest("a request that is held reaches the broker when its client has long gone on", async ({ newTopic }) => {
  const proxy = await KafkaProxy.start();
  const connection = await through(proxy);
  try {
    const topic = await newTopic();
    const producer = new TransactionalProducer(connection, {
      transactionalId: unique("tx"),
      transactionTimeoutMs: 60_000,
    });
    await producer.takeOver();
    await producer.produce(records(topic, { 0: ["aborted by the new epoch"] }));
    proxy.holdRequest(API.endTxn);
    await expect(producer.commit()).rejects.toBeInstanceOf(AmbiguousOutcome);
    expect(proxy.held).toBe(1);
    await producer.reinitialise();
    await producer.produce(records(topic, { 0: ["next"] }));
    // The old EndTxn arrives inside the next transaction, which it must not end.
    expect(await proxy.releaseHeld()).toBe(1);
    expect(await valuesOf(topic)).toEqual([]);
    await producer.commit();
    expect(await valuesOf(topic)).toEqual(["next"]);
    expect([proxy.held, await proxy.releaseHeld()]).toEqual([0, 0]);
  } finally {
    await connection.close();
    await proxy.close();
  }
});

kafkaTest("delays, stalls, cuts and half closes, and all is well after heal", async ({ newTopic }) => {
  const proxy = await KafkaProxy.start();
  const connection = await through(proxy, 10_000);
  try {
    const topic = await newTopic();
    const works = async () => expect((await connection.metadata([topic])).topics).toHaveLength(1);
    await works();
    proxy.delay(150);
    const begun = performance.now();
    await works();
    expect(performance.now() - begun).toBeGreaterThanOrEqual(295);
    await proxy.heal();
    for (const fault of ["cut", "halfClose"] as const) {
      await works();
      proxy[fault]();
      await waitFor(() => works().then(...both), { what: `an answer after ${fault}` });
    }
    proxy.stall();
    const asked = works();
    proxy.loseReply(API.produce);
    proxy.holdRequest(API.metadata);
    await proxy.heal();
    await asked;
    await works();
  } finally {
    await connection.close();
    await proxy.close();
  }
});

const both = [() => true, () => false] as const;

test("a broker that is down is as down behind the proxy", async () => {
  const proxy = await KafkaProxy.start(["127.0.0.1:1", ...inject("brokers")]);
  try {
    await expect(
      KafkaConnection.connect({ brokers: [proxy.addresses[0]!], clientId: "t", connectionTimeoutMs: 1_000 }),
    ).rejects.toMatchObject({ code: "KAFKA_UNREACHABLE" });
    const connection = await through(proxy);
    expect((await connection.metadata([])).brokers.map(({ host, port }) => `${host}:${port}`)).toEqual(
      proxy.addresses.slice(1),
    );
    await connection.close();
  } finally {
    await proxy.close();
  }
});
