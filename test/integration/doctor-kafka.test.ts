// The checks of Kafka before a start: names, partition counts and policies of topics that exist already.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, inject, test } from "vitest";
import type { OwnServer } from "../../dev/servers/servers.ts";
import { loadConfig } from "../../src/config/config.ts";
import { type Finding, runDoctor } from "../../src/daemon/doctor.ts";
import { KafkaConnection } from "../../src/kafka/connection.ts";
import { createTopic } from "../../src/kafka/topics.ts";
import { createDatabase, type TestDatabase, uniqueStream } from "../support/database.ts";
import { wrong } from "../support/findings.ts";
import { startQuietPostgres } from "../support/quiet-postgres.ts";
import { deleteTopics } from "../support/topics.ts";

let server: OwnServer;
let database: TestDatabase;
let stream = "";
beforeAll(async () => {
  server = await startQuietPostgres();
  database = await createDatabase(server.address);
  await database.client.query("CREATE TABLE orders (id int PRIMARY KEY)");
});
afterEach(() => deleteTopics(inject("brokers"), stream));
afterAll(async () => {
  await database?.drop();
  await server.remove();
});

async function check(flags: Record<string, string> = {}, file?: string): Promise<Finding[]> {
  const config = loadConfig({
    env: {},
    file,
    flags: {
      stream,
      "postgres.url": database.url,
      "kafka.brokers": inject("brokers").join(","),
      "startup.wait": "0ms",
      ...flags,
    },
  });
  return wrong(await runDoctor(config));
}

async function newTopic(name: string, partitions: number, configs: Record<string, string> = {}): Promise<void> {
  const connection = await KafkaConnection.connect({ brokers: inject("brokers"), clientId: "afterimage-test" });
  await createTopic(connection, { name, partitions, replicationFactor: -1, configs });
  await connection.close();
}

test("nothing there yet, or what the daemon itself makes: nothing is found", async () => {
  stream = uniqueStream();
  expect(await check()).toEqual([]);
  await newTopic(`${stream}.public.orders`, 4, { "retention.ms": "-1" });
  await newTopic(`${stream}.progress`, 1, { "cleanup.policy": "compact" });
  expect(await check()).toEqual([]);
});

test("a name that differs only in . and _ collides; another topic for the table mends it", async () => {
  stream = uniqueStream();
  await newTopic(`${stream}_public.orders`, 4);
  const [finding, ...others] = await check();
  expect(finding).toMatchObject({ code: "TOPIC_COLLISION", severity: "error" });
  expect(finding!.steps).toEqual([
    { kind: "setting", text: `topics: { "public.orders": "${stream}.public.orders-cdc" }` },
  ]);
  expect(others).toEqual([]);
  const folder = mkdtempSync(join(tmpdir(), "afterimage-doctor-"));
  const file = join(folder, "afterimage.yaml");
  writeFileSync(file, finding!.steps[0]!.text);
  expect(await check({}, file)).toEqual([]);
  rmSync(folder, { recursive: true });
});

test("the topic of messages: a name that collides, and another partition count", async () => {
  stream = uniqueStream();
  await newTopic(`${stream}_messages`, 4);
  expect(await check()).toEqual([]);
  const wanted = { "messages.prefixes": "outbox" };
  const [collision, ...others] = await check(wanted);
  expect(collision).toMatchObject({ code: "TOPIC_COLLISION", severity: "error" });
  expect(collision!.what).toContain(`${stream}.messages, for messages, collides`);
  expect(others).toEqual([]);
  await deleteTopics(inject("brokers"), stream);
  await newTopic(`${stream}.messages`, 3);
  expect((await check(wanted)).map(({ code }) => code)).toContain("TOPIC_PARTITIONS");
});

test("another partition count; the remedy mends it", async () => {
  stream = uniqueStream();
  await newTopic(`${stream}.public.orders`, 3, { "retention.ms": "-1" });
  const findings = await check();
  expect(findings).toEqual([expect.objectContaining({ code: "TOPIC_PARTITIONS", severity: "error" })]);
  expect(findings[0]!.remedy).toContain("kafka.partitions to 3");
  expect(await check({ "kafka.partitions": "3" })).toEqual([]);
});

test("a progress topic from which Kafka may delete", async () => {
  stream = uniqueStream();
  await newTopic(`${stream}.progress`, 1, { "cleanup.policy": "compact,delete" });
  expect(await check()).toEqual([expect.objectContaining({ code: "PROGRESS_POLICY", severity: "error" })]);
});

test("a schemas topic that forgets shapes", async () => {
  stream = uniqueStream();
  await newTopic(`${stream}.schemas`, 1);
  const findings = await check();
  expect(findings).toEqual([expect.objectContaining({ code: "SCHEMAS_POLICY", severity: "error" })]);
  expect(findings[0]!.remedy).toContain("retention.ms=-1,retention.bytes=-1");
  await deleteTopics(inject("brokers"), stream);
  stream = uniqueStream();
  await newTopic(`${stream}.schemas`, 1, { "cleanup.policy": "compact" });
  expect(await check()).toEqual([]);
});

test("compaction and a limited retention end guarantees, which is said", async () => {
  stream = uniqueStream();
  await newTopic(`${stream}.public.orders`, 4, { "cleanup.policy": "compact" });
  expect(await check()).toEqual([expect.objectContaining({ code: "TOPIC_COMPACTED", severity: "warning" })]);
  await deleteTopics(inject("brokers"), stream);
  stream = uniqueStream();
  await newTopic(`${stream}.public.orders`, 4, { "retention.ms": "1000000" });
  expect(await check()).toEqual([expect.objectContaining({ code: "TOPIC_RETENTION", severity: "warning" })]);
});

test("a topic name that is too long", async () => {
  stream = uniqueStream();
  const name = "ü".repeat(31);
  await database.client.query(`CREATE SCHEMA "${name}"; CREATE TABLE "${name}"."${name}" (id int PRIMARY KEY)`);
  const findings = await check({ tables: "*.*" });
  expect(findings).toEqual([expect.objectContaining({ code: "TOPIC_NAME_TOO_LONG", severity: "error" })]);
  await database.client.query(`DROP SCHEMA "${name}" CASCADE`);
});

test("a wrong password is told at once, though the broker would be waited for", async () => {
  stream = uniqueStream();
  const url = new URL(database.url);
  url.username = "nobody_here";
  const started = performance.now();
  const findings = await check({ "postgres.url": url.href, "kafka.brokers": "127.0.0.1:1", "startup.wait": "60s" });
  expect(performance.now() - started).toBeLessThan(10_000);
  expect(findings.map(({ code }) => code)).toEqual(["POSTGRES_AUTHENTICATION_FAILED", "KAFKA_UNREACHABLE"]);
});
