// The consumer on a real Kafka: from topics into a SQLite view, through restarts, aborted transactions and truncates.
import { DatabaseSync } from "node:sqlite";
import { expect, onTestFinished, test } from "vitest";
import { UNCHANGED } from "../../src/event/column-value.ts";
import { createConsumer, type Registration, type SqliteTransaction, sqliteStore } from "../../src/sdk/index.ts";
import { uniqueStream } from "../support/database.ts";
import {
  COLUMNS,
  mirror,
  openWriter,
  query,
  row,
  SETUP,
  start,
  TABLE,
  temporaryFile,
} from "../support/products-view.ts";
import { type Change, removeTopics, StreamWriter } from "../support/stream-writer.ts";
import { kafkaClient } from "../support/topics.ts";
import { waitFor } from "../support/wait-for.ts";

test("waits for its topic, follows it, and stops when asked", async () => {
  const stream = uniqueStream();
  const file = temporaryFile();
  const view = start(stream, file);
  await waitFor(() => view.consumer.position().state === "waiting", { what: "the state waiting" });
  const writer = await openWriter(stream);
  await writer.publish(TABLE, [{ insert: row(1, "lamp") }, { insert: row(2, "sofa") }]);
  await writer.publishAborted(TABLE, [{ insert: row(3, "never") }]);
  await writer.publish(TABLE, [{ update: row(1, "desk lamp") }, { delete: { id: "2" } }, { insert: row(4, "chair") }]);
  await view.reaches(5);
  expect(query(file, "SELECT id, name FROM products ORDER BY id")).toEqual([
    { id: 1, name: "desk lamp" },
    { id: 4, name: "chair" },
  ]);
  expect(view.consumer.position()).toMatchObject({ state: "live", sequence: 5, lag: 0, lagSeconds: 0 });
  expect(view.said).toEqual([`Waiting for topic ${stream}.public.products, which does not exist yet.`]);
  await view.consumer.stop();
  await view.ended;
  expect(view.consumer.position().state).toBe("stopped");
});

test("a restart applies nothing twice and goes on", async () => {
  const stream = uniqueStream();
  const file = temporaryFile();
  const writer = await openWriter(stream);
  const seen: number[] = [];
  const counting: Registration<SqliteTransaction> = (event) => seen.push(event.sequence);
  await writer.publish(
    TABLE,
    Array.from({ length: 200 }, (_, id) => ({ insert: row(id, "a") })),
  );
  const first = start(stream, file, counting);
  await first.reaches(200);
  await first.consumer.stop();
  await writer.publish(
    TABLE,
    Array.from({ length: 100 }, (_, id) => ({ update: row(id, "b") })),
  );
  const second = start(stream, file, counting);
  await second.reaches(300);
  expect(seen.length).toBe(300);
  expect(new Set(seen).size).toBe(300);
});

test("a truncate empties the view once, in the middle of other changes and across restarts", async () => {
  const stream = uniqueStream();
  const file = temporaryFile();
  const writer = await openWriter(stream);
  await writer.publish(
    TABLE,
    Array.from({ length: 50 }, (_, id) => ({ insert: row(id, "before") })),
  );
  await writer.publish(TABLE, ["truncate", { insert: row(7, "after") }]);
  const view = start(stream, file);
  await view.reaches(52);
  expect(query(file, "SELECT id, name FROM products")).toEqual([{ id: 7, name: "after" }]);
  await writer.publish(TABLE, ["truncate"]);
  await view.reaches(53);
  expect(query(file, "SELECT * FROM products")).toEqual([]);
  expect(query(file, `SELECT DISTINCT sequence FROM afterimage_checkpoints`)).toEqual([{ sequence: 53 }]);
});

test("unchanged values survive updates and key changes into any partition", async () => {
  const stream = uniqueStream();
  const file = temporaryFile();
  const writer = await openWriter(stream);
  const view = start(stream, file);
  await writer.publish(
    TABLE,
    Array.from({ length: 20 }, (_, id) => ({ insert: row(id, "a", `body ${id}`) })),
  );
  const moves = Array.from(
    { length: 20 },
    (_, id): Change => ({
      move: { id: String(id) },
      to: { id: String(id + 1000), name: "b", body: UNCHANGED, stock: "2" },
    }),
  );
  await writer.publish(TABLE, [...moves, { update: { id: "1003", name: "c", body: UNCHANGED, stock: "3" } }]);
  await view.reaches(61);
  expect(query(file, "SELECT id, name, body, stock FROM products ORDER BY id")).toEqual(
    Array.from({ length: 20 }, (_, id) =>
      id === 3
        ? { id: 1003, name: "c", body: "body 3", stock: 3 }
        : { id: id + 1000, name: "b", body: `body ${id}`, stock: 2 },
    ),
  );
});

test("a topic made again under the same name is refused, while running and at the start", async () => {
  const stream = uniqueStream();
  const file = temporaryFile();
  const writer = await openWriter(stream);
  await writer.publish(TABLE, [{ insert: row(1, "lamp") }]);
  const view = start(stream, file);
  await view.reaches(1);
  await removeTopics(writer.topics.values());
  const again = await StreamWriter.open({ stream, tables: [{ table: TABLE, columns: COLUMNS }] });
  onTestFinished(() => again.close());
  await expect(view.ended).rejects.toMatchObject({ code: "REBUILD_REQUIRED" });
  await again.publish(TABLE, [{ insert: row(2, "other") }]);
  const second = start(stream, file);
  await expect(second.ended).rejects.toMatchObject({ code: "REBUILD_REQUIRED" });
  expect(query(file, "SELECT id FROM products")).toEqual([{ id: 1 }]);
});

test("a topic that grew partitions is refused", async () => {
  const stream = uniqueStream();
  const file = temporaryFile();
  const writer = await openWriter(stream, 2);
  await writer.publish(TABLE, [{ insert: row(1, "lamp") }]);
  const view = start(stream, file);
  await view.reaches(1);
  const admin = kafkaClient().admin();
  await admin.connect();
  await admin.createPartitions({ topicPartitions: [{ topic: `${stream}.public.products`, count: 3 }] });
  await admin.disconnect();
  await expect(view.ended).rejects.toMatchObject({ code: "PARTITIONS_CHANGED" });
  await expect(start(stream, file).ended).rejects.toMatchObject({ code: "PARTITIONS_CHANGED" });
});

test("a log cut before or behind the checkpoint is never read from another offset", async () => {
  const stream = uniqueStream();
  const topic = `${stream}.public.products`;
  const writer = await openWriter(stream, 1);
  await writer.publish(
    TABLE,
    Array.from({ length: 10 }, (_, id) => ({ insert: row(id, "a") })),
  );
  const file = temporaryFile();
  const view = start(stream, file);
  await view.reaches(10);
  await view.consumer.stop();
  await writer.publish(
    TABLE,
    Array.from({ length: 10 }, (_, id) => ({ insert: row(id + 10, "b") })),
  );
  const admin = kafkaClient().admin();
  await admin.connect();
  await admin.fetchTopicOffsets(topic); // makes kafkajs learn where the topic is
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: "15" }] });
  await admin.disconnect();
  await expect(start(stream, file).ended).rejects.toMatchObject({ code: "REBUILD_REQUIRED" });
  await expect(start(stream, temporaryFile()).ended).rejects.toMatchObject({ code: "HISTORY_INCOMPLETE" });
  expect(query(file, "SELECT count(*) AS n FROM products")).toEqual([{ n: 10 }]);
  const database = new DatabaseSync(file);
  database.exec("UPDATE afterimage_checkpoints SET offset = 900");
  database.close();
  await expect(start(stream, file).ended).rejects.toMatchObject({ code: "REBUILD_REQUIRED" });
});

test("a second consumer on the file is refused; Kafka that can't be reached is named in time", async () => {
  const stream = uniqueStream();
  const file = temporaryFile();
  const view = start(stream, file);
  await waitFor(() => view.consumer.position().state === "waiting", { what: "the first consumer" });
  await expect(start(stream, file).ended).rejects.toMatchObject({ code: "STORE_IS_LOCKED" });
  const nowhere = createConsumer({
    kafka: { brokers: ["127.0.0.1:1"] },
    stream,
    group: "test",
    store: sqliteStore(temporaryFile(), { setup: SETUP }),
    startupWaitMs: 300,
    logger: { info: () => undefined, warn: () => undefined },
  }).register(TABLE, mirror);
  await expect(nowhere.run()).rejects.toMatchObject({ code: "KAFKA_UNREACHABLE" });
});
