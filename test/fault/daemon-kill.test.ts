// SIGKILL at moments nobody chose, under concurrent writers: nothing lost, nothing twice, nothing confirmed early.
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { afterEach, expect, inject, onTestFinished, test } from "vitest";
import { playTopic } from "../../dev/demo/compare.ts";
import { parseLsn } from "../../src/event/lsn.ts";
import { parseProgress } from "../../src/event/progress.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { KafkaProxy } from "../support/kafka-proxy.ts";
import { readTopic } from "../support/topics.ts";
import { waitFor } from "../support/wait-for.ts";

let stream: CapturedStream;
afterEach(() => stream.drop());

/** Writes until told to stop: small and larger transactions, key changes, deletes, rollbacks. */
async function write(url: string, writer: number, stopped: () => boolean): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  for (let round = 0; !stopped(); round++) {
    const id = writer * 1_000_000 + round * 100;
    await client.query("BEGIN");
    await client.query("INSERT INTO t SELECT g, 'new', 0 FROM generate_series($1::int, $1::int + $2::int) g", [
      id,
      round % 10 === 0 ? 90 : 3,
    ]);
    await client.query("UPDATE t SET state = 'paid', n = n + 1 WHERE id = $1", [id]);
    await client.query("UPDATE t SET id = $2 WHERE id = $1", [id + 1, id + 99]);
    await client.query("DELETE FROM t WHERE id = $1", [id + 2]);
    await client.query(round % 7 === 3 ? "ROLLBACK" : "COMMIT");
    await sleep(10); // a pace that small Kafka transactions can follow on a busy machine
  }
  await client.end();
}

/** The highest endLsn of any committed or uncommitted progress record: confirmed must never be above a committed one. */
async function confirmedAndStored(): Promise<{ confirmed: bigint; stored: bigint }> {
  const confirmed = await stream.confirmedFlushLsn();
  const records = await readTopic(inject("brokers"), `${stream.stream}.progress`);
  return { confirmed, stored: parseProgress(records.at(-1)!.value!).endLsn };
}

test("ten kills under load: table and topic are equal, the sequence is gapless, nothing is confirmed early", async () => {
  stream = await CapturedStream.create(
    "CREATE TABLE t (id int PRIMARY KEY, state text, n int)",
    { AFTERIMAGE_BATCH_MAX_BYTES: "64KiB" }, // many small Kafka transactions: more moments to be killed at
  );
  let stopped = false;
  const writers = [1, 2, 3].map((writer) => write(stream.database.url, writer, () => stopped));
  for (let kill = 0; kill < 10; kill++) {
    const before = (await stream.progress())?.sequence ?? 0;
    await waitFor(async () => ((await stream.progress())?.sequence ?? 0) > before + 50 * kill, {
      what: "the stream to go on after a start",
    });
    await stream.daemon.kill();
    const { confirmed, stored } = await confirmedAndStored();
    expect(confirmed).toBeLessThanOrEqual(stored);
    await stream.start();
  }
  stopped = true;
  await Promise.all(writers);
  await stream.published();

  const state = playTopic(await readTopic(inject("brokers"), `${stream.stream}.public.t`));
  expect(state).toMatchObject({ missing: [], duplicates: [], outOfOrder: [], unresolved: [] });
  const { rows } = await stream.sql("SELECT id::text, state, n::text FROM t ORDER BY id");
  expect([...state.rows.values()].sort((a, b) => Number(a.id) - Number(b.id))).toEqual(rows);
  // Every event stands where commit order puts it.
  const events = (await stream.stored()).map(({ event }) => event);
  for (let next = 1; next < events.length; next++) {
    const [a, b] = [events[next - 1]!.transaction, events[next]!.transaction];
    expect(parseLsn(a.lsn) < parseLsn(b.lsn) || (a.lsn === b.lsn && a.index < b.index)).toBe(true);
  }
}, 600_000);

test("killed inside one large transaction that is published in pieces, it goes on at the next row", async () => {
  // Each piece takes a while, so that the last one is far off at every kill.
  const proxy = await KafkaProxy.start();
  onTestFinished(() => proxy.close());
  proxy.delay(30);
  stream = await CapturedStream.create("CREATE TABLE t (id int PRIMARY KEY, note text)", {
    AFTERIMAGE_BATCH_MAX_BYTES: "64KiB",
    AFTERIMAGE_KAFKA_BROKERS: proxy.addresses.join(","),
  });
  await stream.sql("INSERT INTO t SELECT g, repeat('x', 100) FROM generate_series(1, 60000) g");
  let incomplete = 0;
  for (let kill = 0; kill < 4; kill++) {
    const before = (await stream.progress())?.sequence ?? 0;
    await waitFor(async () => ((await stream.progress())?.sequence ?? 0) > before, { what: "another piece" });
    await stream.daemon.kill();
    incomplete += (await stream.progress())?.last?.complete === false ? 1 : 0;
    const { confirmed, stored } = await confirmedAndStored();
    expect(confirmed).toBeLessThanOrEqual(stored);
    await stream.start();
  }
  proxy.delay(0);
  expect(incomplete).toBeGreaterThan(0);
  const progress = await stream.published();
  expect(progress).toMatchObject({ sequence: 60_000, last: { index: 60_000, complete: true } });
  const events = (await stream.stored()).map(({ event }) => event);
  expect(events.length).toBe(60_000);
  expect(
    events.every(({ sequence, transaction }, place) => sequence === place + 1 && transaction.index === place + 1),
  ).toBe(true);
});
