// What is confirmed, where it goes on, and who publishes: frozen brokers, frozen daemons, connections that are ended, and
// transactions that began before a restart.
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { parseProgress } from "../../src/event/progress.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { API, KafkaProxy } from "../support/kafka-proxy.ts";
import { readTopic } from "../support/topics.ts";
import { waitFor } from "../support/wait-for.ts";

let stream: CapturedStream;
let proxy: KafkaProxy;
beforeEach(async () => {
  proxy = await KafkaProxy.start();
});
afterEach(async () => {
  await stream.drop();
  await proxy.close();
});

const TABLE = "CREATE TABLE t (id int PRIMARY KEY, note text DEFAULT repeat('x', 900))";
const senderTimeout = (time: string) =>
  `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET wal_sender_timeout = ''${time}''', current_database()); END $$`;
const insert = (from: number, to: number, into = stream) =>
  into.sql(`INSERT INTO t SELECT g FROM generate_series(${from}, ${to}) g`);
const create = (setup: string, settings: Record<string, string> = {}, through = proxy) =>
  CapturedStream.create(setup, { AFTERIMAGE_KAFKA_BROKERS: through.addresses.join(","), ...settings });

/** Every number once, in commit order, and the progress records follow one another without gap or overlap. */
async function expectEachOnce(ids: readonly number[], of = stream): Promise<void> {
  const events = await of.events();
  expect(events.map(({ key }) => key?.id)).toEqual(ids);
  const stored = await of.stored();
  expect(stored.map(({ event }) => event.sequence)).toEqual(ids.map((_, at) => at + 1));
  const records = (await readTopic(of.brokers, `${of.stream}.progress`)).map(({ value }) => parseProgress(value!));
  for (let next = 1; next < records.length; next++) {
    expect(records[next]!.firstSequence).toBe(records[next - 1]!.sequence + 1);
    expect(records[next]!.endLsn).toBeGreaterThanOrEqual(records[next - 1]!.endLsn);
  }
}

const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, at) => from + at);

async function confirmedIsStored(): Promise<void> {
  const confirmed = await stream.confirmedFlushLsn();
  expect(confirmed).toBeLessThanOrEqual((await stream.progress())!.endLsn);
}

/** A minute is long for a test alone: Kafka is blocked for this stream while the other tests run. */
let blocked: { stream: CapturedStream; proxy: KafkaProxy; pid: number; watched: Promise<unknown[]> };
const BLOCKED_MS = 60_000;
beforeAll(async () => {
  const own = await KafkaProxy.start();
  const waiting = await create(`${senderTimeout("2s")}; ${TABLE}`, {}, own);
  await insert(1, 10, waiting);
  await waiting.published();
  const { pid } = (await walsender(waiting))!;
  own.stall();
  const since = performance.now();
  await insert(11, 60_000, waiting); // 60 MB, of which two batches are held
  const watch = async () => {
    const others: unknown[] = [];
    while (performance.now() < since + BLOCKED_MS) {
      const now = (await walsender(waiting))?.pid;
      if (now !== pid) others.push(now);
      await sleep(200);
    }
    return others;
  };
  blocked = { stream: waiting, proxy: own, pid, watched: watch() };
});
afterAll(async () => {
  await blocked?.watched;
  await blocked?.stream.drop();
  await blocked?.proxy.close();
}, BLOCKED_MS + 240_000);

interface Walsender {
  readonly pid: number;
  /** Everything written so far was sent to it. */
  readonly drained: boolean;
  /** When its client wrote its last feedback. */
  readonly replied: Date | null;
}

async function walsender(of = stream): Promise<Walsender | undefined> {
  const { rows } = await of.sql(
    `SELECT pid, sent_lsn >= pg_current_wal_lsn() AS drained, reply_time AS replied FROM pg_stat_replication
      WHERE application_name = $1`,
    [`afterimage ${of.stream} replication`],
  );
  return rows[0] as Walsender | undefined;
}

test("Kafka stands still while other tables write WAL: no keepalive is taken for a position", async () => {
  stream = await create(`${TABLE}; CREATE TABLE other (id int)`, { AFTERIMAGE_TABLES: "public.t" });
  await insert(1, 10);
  await stream.published();
  proxy.freeze();
  await insert(11, 20);
  for (let round = 0; round < 2; round++) {
    await stream.sql("INSERT INTO other SELECT generate_series(1, 5000)");
    await stream.sql("SELECT pg_logical_emit_message(false, 'note', repeat('x', 1000)), pg_switch_wal()");
    await waitFor(async () => (await walsender())?.drained, { what: "the WAL to be sent" });
    const sent = Date.now();
    await waitFor(async () => Number((await walsender())?.replied) > sent, { what: "feedback after that" });
    await confirmedIsStored();
  }
  await stream.daemon.kill();
  await confirmedIsStored();
  await stream.start({ AFTERIMAGE_KAFKA_BROKERS: stream.brokers.join(",") });
  await insert(21, 30);
  await expectEachOnce(numbers(1, 30));
});

test("killed twice inside a COPY of 1,000 rows that share one LSN: it goes on at the next row", async () => {
  stream = await create(TABLE, { AFTERIMAGE_BATCH_MAX_BYTES: "64KiB" });
  for (const moment of ["request", "reply"] as const) {
    const kill = () => process.kill(stream.daemon.pid, "SIGKILL");
    const inside = () => proxy.strikeAt(API.endTxn, 2, moment, kill);
    proxy.strikeAt(API.produce, 2, "request", inside, { cut: false, naming: `${stream.stream}.public.t` });
    if (moment === "request") await stream.sql("COPY t (id) FROM PROGRAM 'seq 1 1000'");
    else await stream.start();
    await stream.daemon.exited();
    const { last } = (await stream.progress())!;
    expect(last).toMatchObject({ complete: false });
    expect(last!.index).toBeLessThan(1000);
    await confirmedIsStored();
  }
  await stream.start();
  await expectEachOnce(numbers(1, 1000));
  expect(new Set((await stream.events()).map(({ transaction }) => transaction.lsn)).size).toBe(1);
});

test("a transaction that began before a restart and commits after another one is there", async () => {
  stream = await create(TABLE);
  const early = new pg.Client({ connectionString: stream.database.url });
  await early.connect();
  try {
    for (const [round, signal] of (["SIGKILL", "SIGTERM"] as const).entries()) {
      const id = round * 10;
      await early.query(`BEGIN; INSERT INTO t VALUES (${id + 1})`);
      await insert(id + 2, id + 2);
      await stream.published();
      await stream.daemon.kill(signal);
      if (round === 0) await early.query("COMMIT");
      await stream.start();
      if (round === 1) await early.query("COMMIT");
      await insert(id + 3, id + 3);
    }
  } finally {
    await early.end();
  }
  await expectEachOnce([2, 1, 3, 12, 11, 13]);
});

test("a daemon stopped with a transaction open, past wal_sender_timeout: the next one publishes, the first stands by", async () => {
  stream = await create(`${senderTimeout("2s")}; ${TABLE}`, { AFTERIMAGE_BATCH_MAX_BYTES: "64KiB" });
  await insert(1, 10);
  await stream.published();
  const first = stream.daemon;
  let frozen = false;
  // The events of a batch are in Kafka, its progress record is not: the worst moment to wake up from.
  const freeze = () => {
    frozen = process.kill(first.pid, "SIGSTOP");
  };
  proxy.strikeAt(API.produce, 2, "reply", freeze, { cut: false, naming: `${stream.stream}.public.t` });
  await insert(11, 500);
  await waitFor(() => frozen, { what: "the first to be stopped" });
  const second = stream.spawn({ AFTERIMAGE_KAFKA_BROKERS: stream.brokers.join(",") });
  try {
    await second.says('"state":"streaming"');
    await insert(501, 600);
    await stream.published();
    process.kill(first.pid, "SIGCONT");
    await first.says('"state":"standby"');
    await insert(601, 700);
    await expectEachOnce(numbers(1, 700));
    expect(
      second
        .output()
        .match(/"state":"[a-z-]+"/g)
        ?.at(-1),
    ).toBe('"state":"streaming"');
  } finally {
    await second.kill();
  }
  await first.says(/"standby"[\s\S]*"streaming"/);
  await insert(701, 710);
  await expectEachOnce(numbers(1, 710));
});

test("the walsender is terminated 25 times inside transactions: each is published whole, once", async () => {
  stream = await create(TABLE, { AFTERIMAGE_BATCH_MAX_BYTES: "64KiB" });
  const writer = new pg.Client({ connectionString: stream.database.url });
  await writer.connect();
  let last = 0;
  let over = false;
  const writing = (async () => {
    for (; !over; last += 20) {
      await writer.query(`INSERT INTO t SELECT g FROM generate_series(${last + 1}, ${last + 20}) g`);
      await sleep(20); // a pace that small Kafka transactions can follow on a busy machine
    }
  })();
  // Only one that has sent what is not confirmed: others are terminated before anything was at stake.
  const terminate = `SELECT pg_terminate_backend(pid) FROM pg_stat_replication JOIN pg_replication_slots ON active_pid = pid
    WHERE slot_name = $1 AND sent_lsn > confirmed_flush_lsn`;
  try {
    for (let round = 0; round < 25; round++) {
      await waitFor(async () => (await stream.sql(terminate, [`afterimage_${stream.stream}`])).rows.length === 1, {
        what: "a walsender",
      });
    }
  } finally {
    over = true;
    await writing;
    await writer.end();
  }
  await expectEachOnce(numbers(1, last));
});

test(
  "wal_sender_timeout of 2 s and a Kafka that is blocked for a minute: the walsender stays, memory is bounded",
  async () => {
    const { stream: waiting, proxy: own, pid } = blocked;
    expect(await blocked.watched).toEqual([]);
    expect((await walsender(waiting))?.drained).toBe(false);
    expect((await waiting.progress())!.sequence).toBe(10);
    own.resume();
    await insert(60_001, 60_010, waiting);
    await waiting.published();
    expect((await walsender(waiting))?.pid).toBe(pid);
    await expectEachOnce(numbers(1, 60_010), waiting);
    const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${waiting.daemon.pid}/status`, "utf8"))!;
    expect(Number(peak[1])).toBeLessThan(300 * 1024);
  },
  BLOCKED_MS + 240_000,
);
