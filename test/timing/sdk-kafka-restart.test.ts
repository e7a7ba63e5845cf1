// Kafka goes away and comes back under a running consumer.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Servers, startServers } from "../../dev/servers/servers.ts";
import { createConsumer, sqliteStore } from "../../src/sdk/index.ts";
import { uniqueStream } from "../support/database.ts";
import { INT8, StreamWriter } from "../support/stream-writer.ts";
import { waitFor } from "../support/wait-for.ts";

const TABLE = "public.products";
let servers: Servers;
let folder: string;

beforeAll(async () => {
  servers = await startServers({ own: true });
  folder = mkdtempSync(join(tmpdir(), "afterimage-sdk-"));
});

afterAll(async () => {
  await servers?.stop();
  rmSync(folder, { recursive: true });
});

test("the consumer says so once, waits, and goes on without loss or repetition", async () => {
  const { brokers } = servers;
  const kafka = servers.kafka!;
  const stream = uniqueStream();
  const open = (sequence: number) =>
    StreamWriter.open({ stream, tables: [{ table: TABLE, columns: [["id", INT8, 1]] }], brokers, sequence });
  const insertUpTo = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, at) => ({ insert: { id: String(from + at) } }));
  const seen: number[] = [];
  const said: string[] = [];
  const consumer = createConsumer({
    kafka: { brokers },
    stream,
    group: "test",
    store: sqliteStore(join(folder, "view.db")),
    logger: { info: (line) => said.push(line), warn: (line) => said.push(line) },
  }).register(TABLE, (event) => seen.push(event.sequence));
  const ended = consumer.run();
  ended.catch(() => undefined);
  const state = (wanted: string) =>
    waitFor(() => consumer.position().state === wanted, { what: `the state ${wanted}` });

  const first = await open(0);
  await first.publish(TABLE, insertUpTo(0, 500));
  await waitFor(() => seen.length === 500, { what: "the first events" });
  await first.close();
  await kafka.kill();
  await state("disconnected");
  await kafka.start();
  const second = await open(first.sequence);
  await second.publish(TABLE, insertUpTo(500, 600));
  await waitFor(() => seen.length >= 600, { what: "the events after the restart" });
  await state("live");
  await second.close();
  expect(seen.length).toBe(600);
  expect(Math.max(...seen)).toBe(600);
  expect(new Set(seen).size).toBe(600);
  expect(said.filter((line) => line.endsWith("Trying again."))).toHaveLength(1);
  expect(said.at(-1)).toBe("Kafka answers again.");

  await kafka.kill();
  await state("disconnected");
  const begun = performance.now();
  await consumer.stop();
  await ended;
  expect(performance.now() - begun).toBeLessThan(1_000);
});
