// Brokers lose the end of a transaction in some of its partitions: it goes on by itself, and every event is there once.
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, test } from "vitest";
import { type OwnServer, startKafka } from "../../dev/servers/servers.ts";
import type { TopicPartition } from "../../src/kafka/protocol/transaction.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { API, KafkaProxy } from "../support/kafka-proxy.ts";
import { kafkaClient } from "../support/topics.ts";
import { waitFor } from "../support/wait-for.ts";

const BROKER = 4;

let kafka: OwnServer;
let proxy: KafkaProxy;
let stream: CapturedStream;
beforeAll(async () => {
  kafka = await startKafka();
  const admin = kafkaClient([kafka.address]).admin();
  await admin.connect();
  const configEntries = [{ name: "transaction.partition.verification.enable", value: "false" }];
  await admin.alterConfigs({ validateOnly: false, resources: [{ type: BROKER, name: "1", configEntries }] });
  await admin.disconnect();
});
beforeEach(async () => {
  proxy = await KafkaProxy.start([kafka.address]);
  const settings = { AFTERIMAGE_KAFKA_BROKERS: proxy.addresses.join(","), AFTERIMAGE_KAFKA_PARTITIONS: "1" };
  const servers = { postgresUrl: inject("postgresUrl"), brokers: [kafka.address] };
  stream = await CapturedStream.create("CREATE TABLE t (id int PRIMARY KEY)", settings, servers);
  await stream.sql("INSERT INTO t VALUES (1)");
  await stream.published();
});
afterEach(async () => {
  await stream.drop();
  await proxy.close();
});
afterAll(() => kafka?.remove());

type Part = "events" | "progress" | "nothing";

function ending(part: Part): readonly TopicPartition[] {
  // The schemas' topic stands for nothing: the transaction writes no schema.
  const topics = { events: "public.t", progress: "progress", nothing: "schemas" };
  return [{ topic: `${stream.stream}.${topics[part]}`, partition: 0 }];
}

/** The next transaction with events of the table ends only there. */
const loseMarkersBut = (part: Part) => proxy.loseMarkersBut(`${stream.stream}.public.t`, ending(part));

/** Sequence and offset of all events, once so many can be read: the progress record alone may be before them. */
async function eventsAt(count: number): Promise<[number, number][]> {
  await stream.published();
  const stored = await waitFor(
    async () => {
      const read = await stream.stored();
      return read.length >= count ? read : null;
    },
    { what: `${count} events` },
  );
  return stored.map(({ event, offset }) => [event.sequence, Number(offset)]);
}

test.each([
  ["events", 2],
  ["progress", 2],
  ["nothing", 4],
] as const)("of a batch, the marker of %s alone is not lost", async (part, offset) => {
  const begun = loseMarkersBut(part);
  await stream.sql("INSERT INTO t VALUES (2)");
  await begun;
  const before = [
    [1, 0],
    [2, offset], // its first place when it was committed, another one when it was aborted and published again
  ];
  expect(await eventsAt(2)).toEqual(before);
  await stream.sql("INSERT INTO t VALUES (3)");
  const after = await eventsAt(3);
  expect(after.slice(0, 2)).toEqual(before);
  expect(after.map(([sequence]) => sequence)).toEqual([1, 2, 3]);
  expect(stream.daemon.output()).not.toContain("_HELD");
});

test("killed before it is settled, and while it is: the next start settles it the same way", async () => {
  const killed = Promise.withResolvers<unknown>();
  void loseMarkersBut("progress").then(() =>
    proxy.strikeAt(API.endTxn, 1, "reply", () => killed.resolve(stream.daemon.kill())),
  );
  await stream.sql("INSERT INTO t VALUES (2)");
  await killed.promise;
  // The transaction that settles it has begun, and is never told how to end: InitProducerId would abort it.
  const daemon = stream.spawn();
  proxy.strikeAt(API.endTxn, 1, "request", () => daemon.signal("SIGKILL"), { naming: `afterimage.${stream.stream}` });
  expect((await daemon.exited()).signal).toBe("SIGKILL");
  await stream.start();
  await stream.sql("INSERT INTO t VALUES (3)");
  const after = await eventsAt(3);
  expect(after.map(([sequence]) => sequence)).toEqual([1, 2, 3]);
  expect(after[1]).toEqual([2, 2]);
  expect(stream.daemon.output()).toContain("it is committed now");
});

test("of a table that is excluded meanwhile, what was committed is settled all the same", async () => {
  const killed = Promise.withResolvers<unknown>();
  void loseMarkersBut("progress").then(() =>
    proxy.strikeAt(API.endTxn, 1, "reply", () => killed.resolve(stream.daemon.kill())),
  );
  await stream.sql("INSERT INTO t VALUES (2)");
  await killed.promise;
  await stream.start({ AFTERIMAGE_TABLES: "*.*,!public.t" });
  expect(stream.daemon.output()).toContain("it is committed now");
  expect(await eventsAt(2)).toEqual([
    [1, 0],
    [2, 2],
  ]);
});
