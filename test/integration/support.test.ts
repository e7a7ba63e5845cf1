// The support that other tests stand on: a fresh database, topics, and the error of a wait in vain.
import { expect, inject, test } from "vitest";
import { createDatabase, uniqueStream } from "../support/database.ts";
import { deleteTopics, kafkaClient, listTopics, makeTopics, readTopic } from "../support/topics.ts";
import { waitFor } from "../support/wait-for.ts";

test("a database can decode logically, and drop removes it with its slots", async () => {
  const database = await createDatabase();
  const slot = uniqueStream();
  await database.client.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [slot]);
  const other = await createDatabase();
  try {
    await database.drop();
    const { rows } = await other.client.query(
      "SELECT slot_name FROM pg_replication_slots WHERE slot_name = $1 UNION ALL SELECT datname FROM pg_database WHERE datname = $2",
      [slot, database.name],
    );
    expect(rows).toEqual([]);
  } finally {
    await other.drop();
  }
});

test("readTopic gives what is committed, in order, and nothing of an aborted transaction", async () => {
  const brokers = inject("brokers");
  const stream = uniqueStream();
  const topic = `${stream}.public.t`;
  const kafka = kafkaClient();
  const producer = kafka.producer({ transactionalId: stream, maxInFlightRequests: 1, idempotent: true });
  await producer.connect();
  try {
    await makeTopics(brokers, [{ topic, numPartitions: 2 }]);
    expect(await readTopic(brokers, topic)).toEqual([]);
    for (const [value, commit] of [
      ["one", true],
      ["lost", false],
      ["two", true],
      ["lost again", false],
    ] as const) {
      const transaction = await producer.transaction();
      await transaction.send({
        topic,
        messages: [
          { partition: 0, key: "k", value },
          { partition: 1, value },
        ],
      });
      await (commit ? transaction.commit() : transaction.abort());
    }
    const committed = await readTopic(brokers, topic);
    expect(committed.map(({ partition, key, value }) => [partition, key, value])).toEqual([
      [0, "k", "one"],
      [0, "k", "two"],
      [1, null, "one"],
      [1, null, "two"],
    ]);
    expect(await readTopic(brokers, topic, { readCommitted: false })).toHaveLength(8);
    await deleteTopics(brokers, `${stream}.`);
    await waitFor(async () => (await listTopics(brokers, stream)).length === 0, { what: "the topic to go" });
  } finally {
    await producer.disconnect();
  }
});

test("waitFor names what it waited for, and keeps the last failed assertion", async () => {
  const wait = waitFor(() => expect(1).toBe(2), { what: "a wonder", timeout: 60 });
  await expect(wait).rejects.toMatchObject({
    message: "Waited 60 ms in vain for a wonder.",
    cause: { name: "AssertionError" },
  });
});
