// `streaming: on`: Postgres sends large transactions while they are open. Beside a stream of the same database without it
// the topics come out equal byte by byte, whatever is interleaved, rolled back, prepared, altered and killed meanwhile.
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parseProgress } from "../../src/event/progress.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import type { SpawnedDaemon } from "../support/daemon.ts";
import { uniqueStream } from "../support/database.ts";
import { armed } from "../support/failpoints/armed.ts";
import { deleteTopics, listTopics, readTopic } from "../support/topics.ts";
import { waitFor } from "../support/wait-for.ts";

/** 64 kB is the least: what is larger is sent before it commits. */
const SETUP = `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET logical_decoding_work_mem = ''64kB''', current_database()); END $$;
  CREATE TYPE mood AS ENUM ('sad', 'glad');
  CREATE TABLE t (id int PRIMARY KEY, note text); CREATE TABLE u (id int PRIMARY KEY, m mood, body text);
  ALTER TABLE u REPLICA IDENTITY FULL; ALTER TABLE u ALTER body SET STORAGE EXTERNAL;
  CREATE TABLE excluded (id int PRIMARY KEY, note text)`;
const SMALL = {
  AFTERIMAGE_BATCH_MAX_BYTES: "64KiB",
  AFTERIMAGE_TABLES: "*.*,!public.excluded",
  AFTERIMAGE_MESSAGES_PREFIXES: "p",
};

/** Streams what is open. */
const streamed = uniqueStream();
let stream: CapturedStream;
let folder: string;
let daemon: SpawnedDaemon;
let one: pg.Client;
let other: pg.Client;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "afterimage-spool-"));
  stream = await CapturedStream.create(SETUP, SMALL);
  [one, other] = [await session(), await session()];
  await start();
});
afterAll(async () => {
  await daemon?.kill();
  await Promise.all([one, other].map((client) => client?.end()));
  await stream?.drop();
  await deleteTopics(stream.brokers, `${streamed}.`);
  await rm(folder, { recursive: true, force: true });
});

async function session(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: stream.database.url });
  await client.connect();
  return client;
}

async function start(settings: Record<string, string> = {}): Promise<void> {
  daemon = stream.spawn({
    AFTERIMAGE_STREAM: streamed,
    AFTERIMAGE_STREAMING: "on",
    AFTERIMAGE_SPOOL_FOLDER: folder,
    ...settings,
  });
  await daemon.says(/"state":"streaming"/);
}

const progress = async () => {
  const value = (await readTopic(stream.brokers, `${streamed}.progress`)).at(-1)?.value;
  return value == null ? null : parseProgress(value);
};
/** Files of open transactions. */
const spooled = async () =>
  (await readdir(folder, { recursive: true, withFileTypes: true })).filter(
    (entry) => entry.isFile() && entry.name !== "counts",
  ).length;
const spools = (count: number) =>
  waitFor(async () => (await spooled()) === count, { what: `${count} transactions in the spool` });

const recordsOf = async (of: string) => {
  const records = [];
  for (const topic of (await listTopics(stream.brokers, `${of}.`))
    .toSorted()
    .filter((name) => !/(progress|schemas)$/.test(name))) {
    for (const { partition, key, value } of await readTopic(stream.brokers, topic)) {
      records.push([topic.slice(of.length), partition, key, value]);
    }
  }
  return records;
};

/** Both have published all; what they hold is the same. */
async function expectEqual(): Promise<void> {
  const { endLsn, sequence } = await stream.published();
  await waitFor(async () => ((await progress())?.endLsn ?? 0n) >= endLsn, { what: "the other" });
  expect((await progress())?.sequence).toBe(sequence);
  const [without, withIt] = [await recordsOf(stream.stream), await recordsOf(streamed)];
  expect(without.length).toBe(sequence);
  expect(withIt).toEqual(without);
}

const fill = (table: string, from: number, to: number, values: string) =>
  `INSERT INTO ${table} SELECT g, ${values} FROM generate_series(${from}, ${to}) g`;
const notes = (from: number, to: number, note = "kept") => fill("t", from, to, `'${note} ' || repeat('x', 60)`);

test("interleaved, with savepoints rolled back, DDL, key changes, messages, and rows of tables that are not captured", async () => {
  await one.query(`BEGIN; SAVEPOINT a; ${fill("u", 1, 200, "'sad', repeat('b', 3000)")}; ROLLBACK TO a`);
  await one.query(notes(1, 900));
  await other.query(
    `BEGIN; ${notes(10_001, 10_900)}; SELECT pg_logical_emit_message(true, 'p', 'in'), pg_logical_emit_message(false, 'p', 'out')`,
  );
  await spools(2);
  await stream.sql("INSERT INTO t VALUES (-1, 'beside')");
  await one.query(`SAVEPOINT b; SAVEPOINT c; ${notes(2001, 2900, "gone")}; RELEASE c`);
  await one.query(`CREATE TABLE made (id int PRIMARY KEY, m mood); ${fill("made", 1, 900, "'glad'")}; ROLLBACK TO b`);
  await one.query(`${fill("u", 1, 60, "'glad', repeat('b', 3000)")}; UPDATE u SET m = 'sad'; UPDATE u SET id = -id`);
  await one.query(`ALTER TABLE u ADD more int; ${fill("u", 1, 900, "'sad', 'y', g")}; ALTER TABLE u ADD less int`);
  await one.query(
    `${fill("u", 2001, 2900, "'sad', 'y', g")}; SAVEPOINT d; TRUNCATE u; ROLLBACK TO d; ${fill("excluded", 1, 900, "'e'")}`,
  );
  await other.query(
    `UPDATE t SET id = id + 10000 WHERE id > 10000; DELETE FROM t WHERE id % 2 = 0 AND id > 10000; COMMIT`,
  );
  await spools(1);
  await one.query("COMMIT");
  await one.query(`BEGIN; ${notes(40_001, 41_000, "never")}`);
  await spools(1);
  await one.query("ROLLBACK");
  await stream.sql("TRUNCATE excluded; INSERT INTO t VALUES (-2, 'after')");
  await expectEqual();
  expect((await recordsOf(streamed)).filter(([topic]) => topic === ".messages").map(([, , key]) => key)).toEqual(["p"]);
  await spools(0);
});

test("prepared, then rolled back or committed", async () => {
  const gid = (name: string) => `'${streamed}_${name}'`;
  await one.query(`BEGIN; ${notes(50_001, 51_000, "gone")}; PREPARE TRANSACTION ${gid("gone")}`);
  const emitted = "SELECT pg_logical_emit_message(true, 'p', 'prepared')";
  await one.query(
    `BEGIN; ${notes(60_001, 60_500)}; ${emitted}; ${notes(60_501, 61_000)}; PREPARE TRANSACTION ${gid("kept")}`,
  );
  await spools(2);
  await stream.sql("INSERT INTO t VALUES (-3, 'between')");
  await stream.sql(`ROLLBACK PREPARED ${gid("gone")}`);
  await stream.sql(`COMMIT PREPARED ${gid("kept")}`);
  await expectEqual();
  await spools(0);
});

test("killed while it receives, and while it publishes, where it goes on without streaming: nothing is lost or doubled", async () => {
  await one.query(`BEGIN; ${notes(70_001, 71_000)}`);
  await other.query(`BEGIN; SAVEPOINT a; ${notes(80_001, 81_000, "gone")}; ROLLBACK TO a; ${notes(80_001, 81_000)}`);
  await spools(2);
  await daemon.kill();
  expect(await spooled()).toBe(2);
  await other.query("COMMIT");
  // With two batches held, the fifth is full only after others are published.
  await start(armed("batch.sealed-piece", 5, "kill", join(folder, "counts")));
  await one.query(`${notes(90_001, 96_000)}; COMMIT`);
  expect((await daemon.exited()).signal).toBe("SIGKILL");
  expect((await progress())?.last?.complete).toBe(false);
  await start({ AFTERIMAGE_STREAMING: "off" });
  await stream.sql("INSERT INTO t VALUES (-4, 'after')");
  await expectEqual();
});
