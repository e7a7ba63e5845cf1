// An older state of the database comes back: a base backup is restored, as it is or by recovery, or a standby is promoted
// that is behind. It halts by name and moves no slot; a standby that has all that is published, and the slot, goes on.
import { appendFile } from "node:fs/promises";
import { join } from "node:path";
import pg from "pg";
import { afterAll, afterEach, beforeAll, expect, inject, test } from "vitest";
import type { PostgresServer } from "../../dev/servers/embedded-postgres.ts";
import { run } from "../../dev/servers/process.ts";
import { startPostgres } from "../../dev/servers/servers.ts";
import { parseLsn } from "../../src/event/lsn.ts";
import { dropSlots, replaceData, signalFile } from "../support/base-backup.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { slotsReleased } from "../support/database.ts";
import { verifyDatabase } from "../support/verify-run.ts";
import { waitFor } from "../support/wait-for.ts";

let primary: PostgresServer;
let standby: PostgresServer;
let stream: CapturedStream;
beforeAll(async () => {
  [primary, standby] = await Promise.all([startPostgres({ version: 18 }), startPostgres({ version: 18 })]);
});
afterEach(async () => {
  await primary.start();
  await stream.drop();
});
afterAll(() => Promise.all([primary?.remove(), standby?.remove()]));

const TABLE = "CREATE TABLE t (id int PRIMARY KEY, note text DEFAULT repeat('x', 100))";
const insert = (from: number, to: number) => `INSERT INTO t SELECT g FROM generate_series(${from}, ${to}) g`;
const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, at) => from + at);
const prepare = () => CapturedStream.prepare(TABLE, {}, { postgresUrl: primary.address, brokers: inject("brokers") });

/** The stream's database on one of the two. */
function at(server: PostgresServer): string {
  const url = new URL(server.address);
  url.pathname = new URL(stream.database.url).pathname;
  return url.href;
}

async function ask(url: string, ...statements: string[]): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    let rows: Record<string, unknown>[] = [];
    for (const statement of statements) ({ rows } = await client.query(statement));
    return rows;
  } finally {
    await client.end();
  }
}

/** What was confirmed; `restart_lsn` the server moves by itself, up to there, when somebody streams. */
const slot = (server: PostgresServer) =>
  ask(
    at(server),
    `SELECT confirmed_flush_lsn::text AS confirmed FROM pg_replication_slots
      WHERE slot_name = 'afterimage_${stream.stream}'`,
  );

/** A start on that server ends with the code, and leaves slot and topics as they are. */
async function halts(server: PostgresServer, code: string): Promise<void> {
  const [before, stored] = [await slot(server), await stream.stored()];
  const daemon = stream.spawn({ AFTERIMAGE_POSTGRES_URL: at(server) });
  expect(await daemon.exited(), daemon.output()).toMatchObject({ code: 4 });
  expect(daemon.output()).toContain(`"code":"${code}"`);
  await slotsReleased(at(server));
  expect(await slot(server)).toEqual(before);
  expect(await stream.stored()).toEqual(stored);
}

/** `start --new-epoch` on that server: everything that was said and is not so any more is taken back. */
async function goesOnIn(server: PostgresServer, epoch: number): Promise<void> {
  const daemon = await stream.start({ AFTERIMAGE_POSTGRES_URL: at(server) }, ["--new-epoch"]);
  await waitFor(async () => (await stream.progress())?.snapshot.length === 0, { what: "the end of the snapshot" });
  await ask(at(server), "UPDATE t SET note = 'later' WHERE id = 1");
  const { code, kinds, output } = await verifyDatabase(stream, [], { AFTERIMAGE_POSTGRES_URL: at(server) });
  expect({ code, kinds }, output).toEqual({ code: 0, kinds: [] });
  expect((await stream.progress())?.epoch).toBe(epoch);
  await daemon.kill("SIGTERM");
}

test("an older base backup comes back: as it is, with other rows written over the same LSNs, by recovery, without slots", async () => {
  stream = await prepare();
  await stream.start();
  await stream.sqlAfresh(insert(1, 100));
  await stream.published();
  await stream.daemon.kill("SIGTERM");
  await primary.stop();
  const backup = `${primary.data}.backup`;
  await run("cp", ["-a", primary.data, backup]);
  await primary.start();
  await stream.start();
  await stream.sqlAfresh(insert(101, 200));
  await stream.published();
  await stream.daemon.kill("SIGTERM");
  const { endLsn } = (await stream.progress())!;

  await replaceData(primary, backup, async () => undefined);
  await halts(primary, "SERVER_BEHIND");
  await stream.sqlAfresh(insert(1001, 2000));
  const [now] = await ask(at(primary), "SELECT pg_current_wal_lsn()::text AS lsn");
  expect(parseLsn(String(now!.lsn))).toBeGreaterThan(endLsn);
  await halts(primary, "POSITION_NOT_FOUND");

  await replaceData(primary, backup, async () => {
    await appendFile(join(primary.data, "postgresql.auto.conf"), "restore_command = 'false'\n");
    await signalFile(primary, "recovery.signal");
  });
  await waitFor(async () => (await ask(at(primary), "SELECT pg_is_in_recovery() AS is"))[0]!.is === false, {
    what: "the end of the recovery",
  });
  await halts(primary, "TIMELINE_DIVERGED");
  await stream.sqlAfresh(insert(1001, 2000));
  await halts(primary, "TIMELINE_DIVERGED");
  const published = numbers(1, 200);
  expect((await stream.stored()).map(({ event }) => event.sequence)).toEqual(published);

  // As pg_basebackup makes it.
  await replaceData(primary, backup, () => dropSlots(primary));
  await halts(primary, "SLOT_LOST");
  expect((await stream.stored()).map(({ event }) => event.sequence)).toEqual(published);
  await goesOnIn(primary, 2);
});

/** `synchronizedSlots`: whom the primary's walsenders wait for. The stream with a slot that fails over, 100 rows published, and a standby that has them and the slot. */
async function withStandby(synchronizedSlots: string): Promise<void> {
  stream = await prepare();
  await stream.sqlAfresh(
    `SELECT pg_drop_replication_slot('standby') FROM pg_replication_slots WHERE slot_name = 'standby';
     SELECT pg_create_physical_replication_slot('standby', true)`,
  );
  await stream.sqlAfresh(`ALTER SYSTEM SET synchronized_standby_slots = '${synchronizedSlots}'`);
  await primary.stop();
  const { port } = new URL(primary.address);
  await replaceData(standby, primary.data, async () => {
    await dropSlots(standby);
    const connection = `host=127.0.0.1 port=${port} user=postgres password=postgres dbname=postgres`;
    await appendFile(
      join(standby.data, "postgresql.auto.conf"),
      // Nobody stands by for this one: with the setting that it copied it would wait for ever, once promoted.
      `primary_conninfo = '${connection}'\nprimary_slot_name = 'standby'\nhot_standby_feedback = on\nsynchronized_standby_slots = ''\n`,
    );
    await signalFile(standby, "standby.signal");
    await primary.start();
  });
  await stream.start({ AFTERIMAGE_POSTGRES_FAILOVER: "true" });
  await stream.sqlAfresh(insert(1, 100));
  await stream.published();
  const synced = async () => {
    await ask(primary.address, "SELECT pg_log_standby_snapshot()"); // a slot is copied only from such a record on
    await ask(standby.address, "SELECT pg_sync_replication_slots()");
    return (await slot(standby)).length === 1;
  };
  await waitFor(synced, { what: "the slot on the standby" });
}

/** The standby, as far as it got, takes over from a primary that is gone. */
async function failOver(): Promise<void> {
  await primary.kill();
  await stream.daemon.kill();
  await standby.start();
  await ask(standby.address, "SELECT pg_promote()");
}

test("a standby with the slot is promoted, of which Postgres waited: nothing but what it holds was published, and it goes on", async () => {
  await withStandby("standby");
  await standby.stop();
  await stream.sqlAfresh(insert(101, 200));
  const waits = `SELECT FROM pg_stat_activity WHERE application_name = 'afterimage ${stream.stream} replication' AND wait_event = 'WaitForStandbyConfirmation'`;
  await waitFor(async () => (await stream.sqlAfresh(waits)).rows.length === 1, { what: "the walsender" });
  await stream.daemon.says('"code":"STANDBY_AWAITED"', { timeout: 30_000 });
  await failOver();
  const daemon = await stream.start({ AFTERIMAGE_POSTGRES_URL: at(standby) });
  await ask(at(standby), insert(201, 300), "UPDATE t SET note = 'last' WHERE id = 7");
  await waitFor(async () => (await stream.progress())?.sequence === 201, { what: "all events" });
  await daemon.kill("SIGTERM");
  const stored = (await stream.stored()).map(({ event }) => event);
  expect(stored.map(({ sequence }) => sequence)).toEqual(numbers(1, 201));
  expect(stored.map(({ key }) => key?.id)).toEqual([...numbers(1, 100), ...numbers(201, 300), 7]);
  const rows = new Map(stored.map(({ key, after }) => [key?.id, after]));
  const table = await ask(at(standby), "SELECT * FROM t");
  expect(new Map(table.map((row) => [row.id, row]))).toEqual(rows);
});

test("a standby is promoted that lacks what was published: TIMELINE_DIVERGED, and SLOT_LOST without the slot", async () => {
  await withStandby("");
  await standby.stop();
  await stream.sqlAfresh(insert(101, 200));
  await stream.published();
  await failOver();
  await halts(standby, "TIMELINE_DIVERGED");
  await ask(at(standby), insert(1001, 2000));
  await halts(standby, "TIMELINE_DIVERGED");
  await goesOnIn(standby, 2);
  await ask(at(standby), `SELECT pg_drop_replication_slot('afterimage_${stream.stream}')`);
  await halts(standby, "SLOT_LOST");
});
