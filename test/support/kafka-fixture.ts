// What tests of src/kafka start with: a connection, topics of their own and producers; all gone at the end.
import { test as base, inject } from "vitest";
import { unique } from "../../dev/servers/database.ts";
import { KafkaConnection } from "../../src/kafka/connection.ts";
import { fetchOffsets } from "../../src/kafka/offsets.ts";
import { createTopic, deleteTopics } from "../../src/kafka/topics.ts";
import { TransactionalProducer } from "../../src/kafka/transactional-producer.ts";
import { waitFor } from "./wait-for.ts";

interface KafkaFixture {
  connection: KafkaConnection;
  newTopic(options?: { partitions?: number; configs?: Record<string, string> }): Promise<string>;
  /** Not taken over yet. Its transactional id is new unless one is given. */
  newProducer(options?: { transactionalId?: string; connection?: KafkaConnection }): TransactionalProducer;
}

export const kafkaTest = base.extend<KafkaFixture>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads the fixtures used from the pattern
  connection: async ({}, use) => {
    const connection = await KafkaConnection.connect({ brokers: inject("brokers"), clientId: "afterimage-test" });
    await use(connection);
    await connection.close();
  },
  newTopic: async ({ connection }, use) => {
    const names: string[] = [];
    await use(async ({ partitions = 1, configs = {} } = {}) => {
      const name = unique("t");
      names.push(name);
      await createTopic(connection, { name, partitions, replicationFactor: -1, configs });
      return name;
    });
    await deleteTopics(connection, names);
  },
  newProducer: async ({ connection }, use) => {
    await use(({ transactionalId = unique("tx"), connection: own = connection } = {}) => {
      return new TransactionalProducer(own, { transactionalId, transactionTimeoutMs: 60_000 });
    });
  },
});

/** One record for each value, as `produce` takes them. */
export function records(topic: string, partitions: Record<number, string[]>) {
  return new Map([
    [
      topic,
      new Map(
        Object.entries(partitions).map(([partition, values]) => [
          Number(partition),
          values.map((value) => ({ key: `key of ${value.slice(0, 20)}`, value })),
        ]),
      ),
    ],
  ]);
}

/** Waits until the markers of ended transactions are written, which happens a moment after commit and abort resolve. */
export async function settled(connection: KafkaConnection, topic: string, partitions = 1): Promise<void> {
  for (let partition = 0; partition < partitions; partition++) {
    await waitFor(
      async () => {
        const { lastStable, highWatermark } = await fetchOffsets(connection, topic, partition);
        return lastStable === highWatermark;
      },
      { what: `the end of open transactions on ${topic}/${partition}` },
    );
  }
}
