// Postgres and Kafka stop, crash and come back under a running daemon: it goes on by itself, exactly once.
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { type Servers, startServers } from "../../dev/servers/servers.ts";
import { parseLsn } from "../../src/event/lsn.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { API, KafkaProxy } from "../support/kafka-proxy.ts";
import { waitFor } from "../support/wait-for.ts";

let servers: Servers;
let stream: CapturedStream;

beforeAll(async () => {
  servers = await startServers({ own: true });
});
afterEach(() => stream.drop());
afterAll(() => servers?.stop());

const create = (settings: Record<string, string> = {}) =>
  CapturedStream.create("CREATE TABLE t (id int PRIMARY KEY, note text)", settings, servers);

const insert = (from: number, to: number) =>
  stream.sqlAfresh(`INSERT INTO t SELECT g, repeat('x', 50) FROM generate_series(${from}, ${to}) g`);

async function expectExactly(count: number): Promise<void> {
  const events = await stream.events();
  expect(events.map(({ sequence }) => sequence)).toEqual(Array.from({ length: count }, (_, i) => i + 1));
  expect((await stream.stored()).length).toBe(count);
}

test("Postgres's fast shutdown is not held up, also while Kafka is down, and the stream goes on after it", async () => {
  stream = await create();
  await insert(1, 100);
  await stream.published();
  await servers.kafka!.kill();
  await insert(101, 200);
  const begun = Date.now();
  await servers.postgres!.stop("fast");
  expect(Date.now() - begun).toBeLessThan(10_000);
  await servers.postgres!.start();
  await servers.kafka!.start();
  await insert(201, 300);
  await expectExactly(300);
});

test("after an immediate stop the slot is behind, and nothing comes twice", async () => {
  stream = await create();
  const slot = async () => {
    const confirmed = `SELECT confirmed_flush_lsn::text AS lsn FROM pg_replication_slots WHERE slot_name = 'afterimage_${stream.stream}'`;
    return String((await stream.sqlAfresh(confirmed)).rows[0]!.lsn);
  };
  for (let round = 0; round < 5; round++) {
    await insert(round * 100 + 1, round * 100 + 100);
    await stream.published();
    await servers.postgres!.restart({ mode: "immediate" });
  }
  // With nobody to confirm it again it can be seen to lie behind what is published. The first confirmation after a start
  // may be written to disk, with the slot's restart_lsn; the ones after it are not.
  await insert(501, 550);
  const confirmed = (await stream.published()).endLsn;
  await waitFor(async () => parseLsn(await slot()) >= confirmed, { what: "the confirmation" });
  await insert(551, 600);
  const { endLsn } = await stream.published();
  await stream.daemon.kill();
  await servers.postgres!.restart({ mode: "immediate" });
  expect(parseLsn(await slot())).toBeLessThan(endLsn);
  await stream.start();
  await expectExactly(600);
});

test("Kafka is killed while transactions are under way", async () => {
  // One that sends its rows has begun, so the one before has its markers: a broker that is killed between the answer to
  // EndTxn and the markers may never write these (docs/architecture.md, "A transaction whose end the brokers lose").
  const proxy = await KafkaProxy.start(servers.brokers);
  try {
    stream = await create({ AFTERIMAGE_KAFKA_BROKERS: proxy.addresses.join(",") });
    for (let round = 0; round < 3; round++) {
      const killed = Promise.withResolvers<void>();
      const naming = `${stream.stream}.public.t`;
      proxy.strikeAt(API.produce, 1, "request", () => killed.resolve(servers.kafka!.kill()), { naming });
      await insert(round * 20_000 + 1, round * 20_000 + 20_000);
      await killed.promise;
      await servers.kafka!.start();
      // Else the next strike could come before the rows of this round are there.
      await stream.published(90_000);
    }
    await expectExactly(60_000);
  } finally {
    await proxy.close();
  }
});
