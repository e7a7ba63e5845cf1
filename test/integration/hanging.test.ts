// Markers written in the coordinator's stead, on a real broker: what they end, and what they can't.
import { expect, inject } from "vitest";
import { unique } from "../../dev/servers/database.ts";
import { findOpen, readOpen, writeMarkers } from "../../src/kafka/hanging.ts";
import { findBelowStable } from "../../src/kafka/offsets.ts";
import { PartitionAppender } from "../../src/kafka/partition-appender.ts";
import { NO_IDENTITY } from "../../src/kafka/protocol/transaction.ts";
import { TransactionCoordinator } from "../../src/kafka/transaction-coordinator.ts";
import { records, settled, kafkaTest as test } from "../support/kafka-fixture.ts";
import { readTopic } from "../support/topics.ts";

test("a marker of ours ends what is open, commit or abort; one of an older epoch nothing", async ({
  connection,
  newTopic,
}) => {
  const topic = await newTopic({ partitions: 2 });
  const id = unique("tx");
  const coordinator = new TransactionCoordinator(connection, id, 60_000);
  const appender = new PartitionAppender(connection, id);
  const places = [0, 1].map((partition) => ({ topic, partition }));
  const write = async (identity: typeof first, values: Record<number, string[]>) => {
    await coordinator.addPartitions(identity, places);
    await appender.append(appender.queues(records(topic, values)), identity);
  };
  const first = await coordinator.initialise(NO_IDENTITY);
  await write(first, { 0: ["a", "b"], 1: ["c"] });
  const open = await findOpen(connection, places, first.producerId);
  expect(open.map(({ partition, openFrom }) => [partition, openFrom])).toEqual([
    [0, 0n],
    [1, 0n],
  ]);
  expect(await findOpen(connection, places, first.producerId + 1n)).toEqual([]);
  expect(await readOpen(connection, open[0]!)).toBe("a");
  const written = [
    { topic, partition: 0, lastOffset: 1n },
    { topic, partition: 1, lastOffset: 0n },
  ];
  expect(await findBelowStable(connection, written)).toEqual(written);
  await writeMarkers(connection, first, open.slice(0, 1), true);
  await writeMarkers(connection, first, open.slice(1), false);
  expect(await findBelowStable(connection, written)).toEqual([]);
  expect(await findOpen(connection, places, first.producerId)).toEqual([]);
  const values = async () => (await readTopic(inject("brokers"), topic)).map(({ value }) => value?.toString()).sort();
  expect(await values()).toEqual(["a", "b"]);
  // The coordinator's own abort comes too late for them.
  const second = await coordinator.initialise(first);
  await settled(connection, topic, 2);
  expect(await values()).toEqual(["a", "b"]);
  // A late marker of the epoch before does not reach a transaction of the new one.
  appender.restartSequences();
  await write(second, { 0: ["d"] });
  const again = await findOpen(connection, places, first.producerId);
  await expect(writeMarkers(connection, first, again, true)).rejects.toMatchObject({ code: "KAFKA_OUTCOME_UNKNOWN" });
  expect((await findOpen(connection, places, first.producerId)).length).toBe(1);
  await coordinator.end(second, true);
  await settled(connection, topic, 2);
  expect(await values()).toEqual(["a", "b", "d"]);
});
