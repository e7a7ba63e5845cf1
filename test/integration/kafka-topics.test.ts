// Topics: made, described, removed; never made by looking at them.
import { expect } from "vitest";
import { unique } from "../../dev/servers/database.ts";
import {
  createTopic,
  deleteTopics,
  describeTopics,
  listTopicNames,
  type NewTopic,
  topicConfig,
} from "../../src/kafka/topics.ts";
import { kafkaTest as test } from "../support/kafka-fixture.ts";

test("a topic is created as asked, found again, and gone when deleted", async ({ connection, newTopic }) => {
  const name = await newTopic({
    partitions: 3,
    configs: { "cleanup.policy": "compact", "retention.ms": "-1", "max.message.bytes": "16777216" },
  });
  const described = await describeTopics(connection, [name, unique("absent")]);
  expect([...described.keys()]).toEqual([name]);
  expect(described.get(name)).toEqual({ name, partitions: 3, replicas: 1, id: expect.stringMatching(/^[\w-]{22}$/) });
  expect(await listTopicNames(connection)).toContain(name);
  const config = await topicConfig(connection, name);
  expect(config.get("cleanup.policy")).toBe("compact");
  expect(config.get("retention.ms")).toBe("-1");
  expect(config.get("max.message.bytes")).toBe("16777216");
  expect(config.get("min.compaction.lag.ms")).toBe("0"); // a default
  await deleteTopics(connection, [name, unique("absent")]);
  await expect.poll(() => describeTopics(connection, [name])).toEqual(new Map()); // the broker learns of it a moment later
  await deleteTopics(connection, [name]);
});

test("an existing topic is left as it is, one made again has another id", async ({ connection, newTopic }) => {
  const name = await newTopic({ partitions: 2 });
  const first = (await describeTopics(connection, [name])).get(name);
  await createTopic(connection, { name, partitions: 5, replicationFactor: -1, configs: { "retention.ms": "5" } });
  expect((await describeTopics(connection, [name])).get(name)).toEqual(first);
  await deleteTopics(connection, [name]);
  await expect.poll(() => describeTopics(connection, [name])).toEqual(new Map());
  await createTopic(connection, { name, partitions: 2, replicationFactor: -1, configs: {} });
  const second = (await describeTopics(connection, [name])).get(name);
  expect(second).toMatchObject({ name, partitions: 2 });
  expect(second?.id).not.toBe(first?.id);
});

test("what Kafka does not take is refused by name", async ({ connection, newTopic }) => {
  const topic: NewTopic = { name: unique("t"), partitions: 1, replicationFactor: -1, configs: {} };
  const bad: NewTopic[] = [
    { ...topic, name: "no spaces" },
    { ...topic, name: "x".repeat(250) },
    { ...topic, partitions: 0 },
    { ...topic, replicationFactor: 100 },
    { ...topic, configs: { "cleanup.policy": "perhaps" } },
    { ...topic, configs: { "no.such.setting": "1" } },
  ];
  for (const one of bad) {
    await expect(createTopic(connection, one)).rejects.toMatchObject({ code: "TOPIC_REFUSED" });
  }
  const name = await newTopic();
  await expect(createTopic(connection, { ...topic, name: name.replace("_", ".") })).rejects.toMatchObject({
    code: "TOPIC_REFUSED", // collides with the other one: Kafka takes `.` and `_` for the same
  });
  await expect(topicConfig(connection, unique("absent"))).rejects.toMatchObject({ code: "TOPIC_MISSING" });
  expect(await describeTopics(connection, [])).toEqual(new Map());
});
