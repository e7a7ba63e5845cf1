// A record above the limit of a fetch, behind a partition that never runs dry.
import { expect, inject } from "vitest";
import { KafkaLogReader } from "../../src/sdk/consumer/kafka-log-reader.ts";
import { kafkaTest, records } from "../support/kafka-fixture.ts";

kafkaTest("a large record is read, whatever partitions before it hold", async ({ newTopic, newProducer }) => {
  const topic = await newTopic({ partitions: 3, configs: { "max.message.bytes": String(16 * 1024 * 1024) } });
  const producer = newProducer();
  await producer.takeOver();
  for (let batch = 0; batch < 12; batch++) {
    const more: Record<number, string[]> = batch === 0 ? { 2: ["z".repeat(3_000_000)] } : {};
    await producer.produce(records(topic, { 0: ["x".repeat(900_000)], ...more }));
    await producer.commit();
  }
  const reader = await KafkaLogReader.connect({ brokers: inject("brokers"), clientId: "afterimage-test" });
  try {
    // The first partition is read from its beginning again and again, as if more were written all the time.
    const positions = [0, 1, 2].map((partition) => ({ topic, partition, offset: 0n }));
    const found = [];
    for (let turn = 0; turn < positions.length; turn++) {
      const fetched = await reader.fetch(positions, 500);
      found.push(...fetched.filter(({ partition }) => partition === 2).flatMap((one) => one.records));
    }
    expect(found[0]?.value?.length).toBe(3_000_000);
  } finally {
    await reader.close();
  }
});
