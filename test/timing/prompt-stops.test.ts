// Who is asked to stop does it at once: consumers within a second, the daemon within ten.
import { afterEach, expect, inject, onTestFinished, test } from "vitest";
import { createConsumer, sqliteStore } from "../../src/sdk/index.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { uniqueStream } from "../support/database.ts";
import { openWriter, row, start, TABLE, temporaryFile } from "../support/products-view.ts";
import { INT8, removeTopics, StreamWriter } from "../support/stream-writer.ts";
import { waitFor } from "../support/wait-for.ts";

let captured: CapturedStream | null = null;
afterEach(async () => {
  await captured?.drop();
  captured = null;
});

async function took(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

test("a consumer that is live: within a second", async () => {
  const stream = uniqueStream();
  const writer = await openWriter(stream);
  const view = start(stream, temporaryFile());
  await writer.publish(TABLE, [{ insert: row(1, "lamp") }]);
  await view.reaches(1);
  await waitFor(() => view.consumer.position().state === "live", { what: "the state live" });
  const stop = () => Promise.all([view.consumer.stop(), view.ended]);
  expect(await took(stop)).toBeLessThan(1_000);
});

test("a consumer that waits for a schema: within two seconds", async () => {
  const stream = uniqueStream();
  const table = "public.t";
  const writer = await StreamWriter.open({
    stream,
    tables: [{ table, columns: [["id", INT8, 1]] }],
    partitions: 1,
  });
  onTestFinished(async () => {
    await writer.close();
    await removeTopics([...writer.topics.values()]);
  });
  await writer.publish(table, [{ insert: { id: "1" } }]);
  const consumer = createConsumer({
    ...{ kafka: { brokers: inject("brokers") }, stream, group: "test", store: sqliteStore(temporaryFile()) },
    values: "decoded",
  }).register(table, () => undefined);
  const ended = consumer.run();
  await waitFor(() => consumer.position().state === "catching up", { what: "an event that waits" });
  expect(await took(() => Promise.all([consumer.stop(), ended]))).toBeLessThan(2_000);
});

test("a daemon with 5,000 rows under way: within ten seconds, all of it published or none confirmed", async () => {
  captured = await CapturedStream.create("CREATE TABLE t (id int PRIMARY KEY, note text)");
  await captured.sql("INSERT INTO t SELECT g, 'x' FROM generate_series(1, 5000) g");
  const { daemon } = captured;
  expect(await took(() => daemon.kill("SIGTERM"))).toBeLessThan(10_000);
  expect(await daemon.exited()).toEqual({ code: 0, signal: null });
});
