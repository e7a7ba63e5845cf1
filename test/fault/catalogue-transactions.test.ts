// What Postgres ends otherwise than by a plain COMMIT, and what it interleaves: only what is committed becomes events, in
// the order of the commits.
import pg from "pg";
import { afterEach, expect, test } from "vitest";
import { CapturedStream } from "../support/captured-stream.ts";
import { commitOrder, OrderSlot } from "../support/commit-order.ts";
import { waitFor } from "../support/wait-for.ts";

let stream: CapturedStream;
const clients: pg.Client[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) await client.end();
  // A prepared transaction outlives its session and would keep the database from being dropped.
  const { rows } = await stream.sql("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()");
  for (const { gid } of rows) await stream.sql(`ROLLBACK PREPARED '${gid}'`);
  await stream.drop();
});

async function session(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: stream.database.url });
  await client.connect();
  clients.push(client);
  return client;
}

const TABLE = "CREATE TABLE t (id int PRIMARY KEY, note text)";
const insert = (from: number, to: number, note = "'kept'") =>
  `INSERT INTO t SELECT g, ${note} FROM generate_series(${from}, ${to}) g`;
const keys = async () => (await stream.events()).map(({ key }) => key?.id);
const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, at) => from + at);

test("nested savepoints, some of them rolled back, in a transaction that Postgres spills to disk", async () => {
  // 64 kB is the least: the decoder writes the changes of each subtransaction to files.
  stream = await CapturedStream.create(
    `${TABLE}; DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET logical_decoding_work_mem = ''64kB''', current_database()); END $$`,
  );
  const aborted = "'aborted ' || repeat('x', 200)";
  await stream.sql("BEGIN");
  await stream.sql(insert(1, 1000));
  await stream.sql(`SAVEPOINT a; ${insert(1001, 2000, aborted)}; SAVEPOINT b; ${insert(2001, 3000, aborted)}`);
  await stream.sql(`RELEASE b; ROLLBACK TO a; ${insert(3001, 4000)}; SAVEPOINT c; ${insert(4001, 5000)}`);
  await stream.sql(`SAVEPOINT d; UPDATE t SET note = ${aborted}; DELETE FROM t; ROLLBACK TO d; RELEASE c`);
  await stream.sql(`${insert(1001, 1500)}; COMMIT`);
  await stream.sql(`BEGIN; SAVEPOINT e; ${insert(9001, 10_000, aborted)}; ROLLBACK TO e; COMMIT`);
  await stream.sql(`BEGIN; SAVEPOINT f; ${insert(9001, 10_000, aborted)}; RELEASE f; ROLLBACK`);
  await stream.sql(insert(6000, 6000));
  const events = await stream.events();
  expect(events.map(({ key }) => key?.id)).toEqual([
    ...numbers(1, 1000),
    ...numbers(3001, 5000),
    ...numbers(1001, 1500),
    6000,
  ]);
  expect(events.every((event) => event.operation === "insert" && event.after.note === "kept")).toBe(true);
  expect(events.map(({ transaction }) => transaction.index).slice(0, -1)).toEqual(numbers(1, 3500));
  const { rows } = await stream.sql("SELECT spill_txns::int AS n FROM pg_stat_replication_slots WHERE slot_name = $1", [
    `afterimage_${stream.stream}`,
  ]);
  expect(rows[0]!.n).toBeGreaterThan(0);
});

test("a rollback, a deferred constraint that fails at COMMIT, and a deadlock leave no events", async () => {
  stream = await CapturedStream.create(
    `${TABLE}; CREATE TABLE child (id int PRIMARY KEY, t int REFERENCES t DEFERRABLE INITIALLY DEFERRED);
     INSERT INTO t VALUES (1, 'a'), (2, 'b')`,
  );
  await stream.sql("BEGIN; INSERT INTO t VALUES (3, 'c'); UPDATE t SET note = 'd'; ROLLBACK");
  await stream.sql("BEGIN; INSERT INTO t VALUES (4, 'e'); INSERT INTO child VALUES (1, 99)");
  await expect(stream.sql("COMMIT")).rejects.toMatchObject({ code: "23503" });

  const [one, other] = [await session(), await session()];
  await one.query("BEGIN; SET LOCAL deadlock_timeout = '50ms'; UPDATE t SET note = 'one' WHERE id = 1");
  await other.query("BEGIN; SET LOCAL deadlock_timeout = '10s'; UPDATE t SET note = 'other' WHERE id = 2");
  const waits = other.query("UPDATE t SET note = 'other' WHERE id = 1");
  await waitFor(
    async () =>
      (await stream.sql("SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"))
        .rows.length > 0,
    { what: "the lock" },
  );
  await expect(one.query("UPDATE t SET note = 'one' WHERE id = 2")).rejects.toMatchObject({ code: "40P01" });
  await one.query("ROLLBACK");
  await waits;
  await other.query("COMMIT");
  const events = await stream.events();
  expect(events).toMatchObject([
    { operation: "update", key: { id: 2 }, after: { note: "other" } },
    { operation: "update", key: { id: 1 }, after: { note: "other" } },
  ]);
});

test("a prepared transaction becomes events when it is committed, whatever restarts in between", async () => {
  stream = await CapturedStream.create(TABLE);
  await stream.sql(`BEGIN; ${insert(1, 3)}; PREPARE TRANSACTION '${stream.stream}_kept'`);
  await stream.sql(`BEGIN; ${insert(11, 13)}; PREPARE TRANSACTION '${stream.stream}_gone'`);
  await stream.sql(insert(21, 21));
  expect(await keys()).toEqual([21]);
  await stream.daemon.kill();
  await stream.start();
  await stream.sql(insert(22, 22));
  expect(await keys()).toEqual([21, 22]);
  await stream.sql(`ROLLBACK PREPARED '${stream.stream}_gone'`);
  await stream.daemon.kill();
  await stream.sql(`COMMIT PREPARED '${stream.stream}_kept'`);
  await stream.start();
  await stream.sql(insert(23, 23));
  expect(await keys()).toEqual([21, 22, 1, 2, 3, 23]);
});

test("logical messages among rows are never a position: nothing is skipped behind them", async () => {
  stream = await CapturedStream.create(TABLE);
  const emit = (transactional: boolean) => `SELECT pg_logical_emit_message(${transactional}, 'note', repeat('x', 500))`;
  for (let round = 0; round < 4; round++) {
    const id = round * 10;
    await stream.sql("BEGIN");
    await stream.sql(`${emit(false)}; ${insert(id, id)}; ${emit(true)}; ${insert(id + 1, id + 1)}; ${emit(false)}`);
    await stream.sql("COMMIT");
    await stream.sql(`${emit(false)}; ${emit(true)}`);
    await stream.published();
    await stream.daemon.kill();
    // These follow the messages directly; a position taken from a message would lie behind their commit.
    await stream.sql(`${emit(false)}`);
    await stream.sql(insert(id + 2, id + 2));
    // From the second round on they are published, but for the last round.
    await stream.start(round === 0 || round === 1 ? { AFTERIMAGE_MESSAGES_PREFIXES: "no*" } : {});
  }
  const events = await stream.events();
  const places = events.map(({ key, transaction }) => [key?.id ?? "note", transaction.index]);
  const silent = (id: number) => [[id, 1], [id + 1, 3], [id + 2, 1]]; // biome-ignore format: a line a round
  const told = (id: number) => [[id, 1], ["note", 2], [id + 1, 3], ["note", 1], [id + 2, 1]]; // biome-ignore format: a line a round
  expect(places).toEqual([...silent(0), ...told(10), ...told(20), ...silent(30)]);
  expect(events.map(({ sequence }) => sequence)).toEqual(numbers(1, events.length));
});

test("50 writers on the same 20 rows: the order of the commits, and every old image is the last new one", async () => {
  stream = await CapturedStream.create(
    `CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL, by text); ALTER TABLE t REPLICA IDENTITY FULL;
     INSERT INTO t SELECT g, 0, 'setup' FROM generate_series(1, 20) g`,
  );
  const slot = await OrderSlot.create(stream.database.client, `afterimage_${stream.stream}`);
  const writers = await Promise.all(Array.from({ length: 50 }, () => session()));
  await Promise.all(
    writers.map(async (client, writer) => {
      for (let round = 0; round < 6; round++) {
        const low = ((writer * 7 + round * 3) % 17) + 1;
        await client.query("BEGIN");
        // Ascending keys: writers wait for one another, and never in a circle.
        for (const id of [low, low + 1, low + 3]) {
          await client.query("UPDATE t SET n = n + 1, by = $2 WHERE id = $1", [id, `${writer}.${round}`]);
        }
        await client.query(writer % 10 === 9 ? "ROLLBACK" : "COMMIT");
      }
    }),
  );
  const events = await stream.events();
  expect(events.length).toBe(45 * 6 * 3);
  const rows = new Map<unknown, unknown>(numbers(1, 20).map((id) => [id, { id, n: 0, by: "setup" }]));
  for (const event of events) {
    expect(event.before).toEqual(rows.get(event.key?.id));
    rows.set(event.key?.id, event.after);
  }
  const order = events.filter(({ transaction }) => transaction.last).map(({ transaction }) => transaction);
  const commits = commitOrder(await slot.take());
  expect(order.map(({ id, lsn }) => `${id} ${lsn}`)).toEqual(commits);
});
