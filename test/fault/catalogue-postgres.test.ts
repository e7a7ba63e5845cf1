// Postgres crashes right after a checkpoint, loses WAL, restarts around prepared transactions and backlogs, and slots that
// are not the one they were.
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { type Servers, startServers } from "../../dev/servers/servers.ts";
import type { GapEvent } from "../../src/event/change-event.ts";
import { statusOf } from "../support/admin.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { slotsReleased } from "../support/database.ts";
import { KafkaProxy } from "../support/kafka-proxy.ts";
import { verifyDatabase } from "../support/verify-run.ts";
import { waitFor } from "../support/wait-for.ts";

let servers: Servers;
let stream: CapturedStream;
beforeAll(async () => {
  servers = await startServers({ own: true });
});
afterEach(() => stream.drop());
afterAll(() => servers?.stop());

const TABLE = "CREATE TABLE t (id int PRIMARY KEY, note text DEFAULT repeat('x', 100))";
const create = (settings: Record<string, string> = {}) => CapturedStream.create(TABLE, settings, servers);
const insert = (from: number, to: number) =>
  stream.sqlAfresh(`INSERT INTO t SELECT g FROM generate_series(${from}, ${to}) g`);
const keys = async () => (await stream.events()).map(({ key }) => key?.id);
const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, at) => from + at);

async function halts(code: string): Promise<void> {
  const daemon = stream.spawn();
  expect(await daemon.exited()).toMatchObject({ code: 4 });
  await slotsReleased(stream.database.url);
  expect(daemon.output()).toContain(`"code":"${code}"`);
}

/** What was confirmed; `restart_lsn` the server moves by itself, up to there, when somebody streams. */
const slot = async () =>
  (
    await stream.sqlAfresh(
      `SELECT confirmed_flush_lsn::text AS confirmed FROM pg_replication_slots
        WHERE slot_name = 'afterimage_${stream.stream}'`,
    )
  ).rows;

test("crashes right after checkpoints, while changes are confirmed, lose and double nothing", async () => {
  stream = await create();
  for (let round = 0; round < 5; round++) {
    const from = round * 2000 + 1;
    await insert(from, from + 999);
    const writing = insert(from + 1000, from + 1999);
    await stream.sqlAfresh("CHECKPOINT");
    await writing;
    await stream.sqlAfresh("SELECT pg_switch_wal(); CHECKPOINT");
    await servers.postgres!.restart({ mode: "immediate" });
  }
  expect(await keys()).toEqual(numbers(1, 10_000));
});

test("WAL that the slot needs is gone: SLOT_LOST at every start, and the slot stays as it is", async () => {
  stream = await create();
  await insert(1, 10);
  await stream.published();
  await stream.daemon.kill("SIGTERM");
  await slotsReleased(stream.database.url);
  await insert(11, 20);
  // Only what Postgres keeps for slots would be missing: it is told to remove files itself, so this works wherever it runs.
  await stream.sqlAfresh("SELECT pg_switch_wal(); CHECKPOINT; SELECT pg_switch_wal()");
  const needed = "SELECT current_setting('data_directory') || '/pg_wal/' || pg_walfile_name(restart_lsn) AS file";
  const { rows } = await stream.sqlAfresh(
    `${needed} FROM pg_replication_slots WHERE slot_name = 'afterimage_${stream.stream}'`,
  );
  await stream.sqlAfresh(`COPY (SELECT 1) TO PROGRAM 'rm ${rows[0]!.file}'`);
  const before = await slot();
  for (let start = 0; start < 2; start++) {
    await halts("SLOT_LOST");
    expect(await slot()).toEqual(before);
  }
  expect((await stream.stored()).length).toBe(10);
});

test("max_slot_wal_keep_size gives the slot up: SLOT_LOST, not a new slot", async () => {
  stream = await create();
  await insert(1, 10);
  await stream.published();
  await stream.daemon.kill("SIGTERM");
  await slotsReleased(stream.database.url);
  await insert(11, 20);
  const limit = async (value: string) => {
    await stream.sqlAfresh(`ALTER SYSTEM SET max_slot_wal_keep_size = '${value}'`);
    await stream.sqlAfresh("SELECT pg_reload_conf()");
  };
  await limit("2MB");
  try {
    for (let segment = 0; segment < 3; segment++) {
      await stream.sqlAfresh("SELECT pg_logical_emit_message(false, 'note', 'fills'), pg_switch_wal()");
    }
    await stream.sqlAfresh("CHECKPOINT");
    const before = await slot();
    await halts("SLOT_LOST");
    expect(await slot()).toEqual(before);
  } finally {
    await limit("-1");
  }
  expect((await stream.stored()).length).toBe(10);
});

test("Kafka is away for too long: the slot is given up as configured, and once Kafka is back a new epoch makes the stream equal by itself", async () => {
  const proxy = await KafkaProxy.start(servers.brokers);
  try {
    stream = await create({
      AFTERIMAGE_KAFKA_BROKERS: proxy.addresses.join(","),
      AFTERIMAGE_WAL_GUARD_WARN: "8MiB",
      AFTERIMAGE_WAL_GUARD_ALERT: "16MiB",
      AFTERIMAGE_WAL_GUARD_GIVE_UP: "64MiB",
    });
    await insert(1, 10);
    await stream.published();
    proxy.refuse();
    await insert(11, 20);
    const write = (mebibytes: number) =>
      stream.sqlAfresh(
        `SELECT pg_logical_emit_message(false, 'x', repeat('x', 1048576)) FROM generate_series(1, ${mebibytes})`,
      );
    await write(24);
    await stream.daemon.says('"code":"WAL_RETAINED"');
    // A look may have come while it was being written.
    await waitFor(async () => (await statusOf(stream.daemon)).wal?.level === "alert", { what: "the alert" });
    expect(await slot()).toHaveLength(1);
    await write(48);
    await stream.daemon.says('"code":"SLOT_GIVEN_UP"');
    await waitFor(async () => (await slot()).length === 0, { what: "the slot to be dropped, before Kafka is back" });
    await stream.sqlAfresh("DELETE FROM t WHERE id < 5");
    proxy.accept();
    await waitFor(async () => (await stream.progress())?.epoch === 2, { what: "the new epoch", timeout: 60_000 });
    await waitFor(async () => (await stream.progress())?.snapshot.length === 0, { what: "the end of the snapshot" });
    await insert(21, 30);
    await stream.published();
    const { code, kinds, output } = await verifyDatabase(stream);
    expect({ code, kinds }, output).toEqual({ code: 0, kinds: [] });
    const gap = (await stream.stored()).find(({ event }) => event.operation === "gap")!.event as GapEvent;
    expect(gap.reason).toContain("SLOT_GIVEN_UP");
    await waitFor(async () => (await statusOf(stream.daemon)).wal?.level !== "give-up", {
      what: "a look at the new slot",
    });
    expect((await stream.progress())?.epoch).toBe(2);
  } finally {
    await proxy.close();
  }
});

test("a slot that was dropped and made again: SLOT_AHEAD, and nothing is published past the gap", async () => {
  stream = await create();
  await insert(1, 10);
  await stream.published();
  await stream.daemon.kill("SIGTERM");
  await slotsReleased(stream.database.url);
  await insert(11, 20);
  const name = `afterimage_${stream.stream}`;
  await stream.sqlAfresh(`SELECT pg_drop_replication_slot('${name}')`);
  await stream.sqlAfresh(`SELECT pg_create_logical_replication_slot('${name}', 'pgoutput')`);
  await insert(21, 30);
  const before = await slot();
  await halts("SLOT_AHEAD");
  expect(await slot()).toEqual(before);
  expect((await stream.stored()).length).toBe(10);
});

test("a prepared transaction outlives an immediate stop of the server", async () => {
  stream = await create();
  const gid = `${stream.stream}_prepared`;
  await stream.sqlAfresh(
    `BEGIN; INSERT INTO t SELECT g FROM generate_series(1, 3) g; PREPARE TRANSACTION '${gid}_kept'`,
  );
  await stream.sqlAfresh(`BEGIN; INSERT INTO t VALUES (11); PREPARE TRANSACTION '${gid}_gone'`);
  await insert(21, 21);
  await stream.published();
  await servers.postgres!.restart({ mode: "immediate" });
  await insert(22, 22);
  expect(await keys()).toEqual([21, 22]);
  await stream.sqlAfresh(`ROLLBACK PREPARED '${gid}_gone'`);
  await stream.sqlAfresh(`COMMIT PREPARED '${gid}_kept'`);
  await servers.postgres!.restart({ mode: "immediate" });
  await insert(23, 23);
  expect(await keys()).toEqual([21, 22, 1, 2, 3, 23]);
});

test("a daemon that works through a backlog does not hold up a fast shutdown", async () => {
  stream = await create({ AFTERIMAGE_BATCH_MAX_BYTES: "64KiB" });
  await insert(1, 10);
  await stream.published();
  await insert(11, 30_000);
  const begun = performance.now();
  await servers.postgres!.stop("fast");
  expect(performance.now() - begun).toBeLessThan(10_000);
  const behind = (await stream.progress())!.sequence;
  expect(behind).toBeLessThan(30_000);
  await servers.postgres!.start();
  expect((await stream.published()).sequence).toBe(30_000);
  const sequences = (await stream.stored()).map(({ event }) => event.sequence);
  expect(sequences.every((sequence, at) => sequence === at + 1)).toBe(true);
});
