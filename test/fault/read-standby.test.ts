// The changes are read from a hot standby: everything once across kills of the daemon and of the standby, a slot that a
// conflict took is named, and the standby's promotion too.
import { appendFile } from "node:fs/promises";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import type { PostgresServer } from "../../dev/servers/embedded-postgres.ts";
import { startPostgres } from "../../dev/servers/servers.ts";
import { dropSlots, replaceData, signalFile } from "../support/base-backup.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { verifyDatabase } from "../support/verify-run.ts";
import { waitFor } from "../support/wait-for.ts";

let primary: PostgresServer;
let standby: PostgresServer;
let stream: CapturedStream;
/** What makes the daemon read from the standby. */
let fromStandby: Record<string, string>;

const insert = (from: number, to: number) => `INSERT INTO t SELECT g FROM generate_series(${from}, ${to}) g`;

beforeAll(async () => {
  [primary, standby] = await Promise.all([startPostgres({ version: 18 }), startPostgres({ version: 18 })]);
  stream = await CapturedStream.prepare(
    `CREATE TABLE t (id int PRIMARY KEY, note text); ${insert(1, 3)}`,
    { AFTERIMAGE_SNAPSHOT: "initial" },
    { postgresUrl: primary.address, brokers: inject("brokers") },
  );
  await ask(primary, "SELECT pg_create_physical_replication_slot('standby', true)");
  await primary.stop();
  const { port } = new URL(primary.address);
  await replaceData(standby, primary.data, async () => {
    await dropSlots(standby);
    const connection = `host=127.0.0.1 port=${port} user=postgres password=postgres dbname=postgres`;
    await appendFile(
      join(standby.data, "postgresql.auto.conf"),
      `primary_conninfo = '${connection}'\nprimary_slot_name = 'standby'\nhot_standby_feedback = on\n`,
    );
    await signalFile(standby, "standby.signal");
    await primary.start();
  });
  fromStandby = { AFTERIMAGE_POSTGRES_STANDBY_URL: at(standby) };
});
afterAll(async () => {
  await stream?.drop();
  await Promise.all([primary?.remove(), standby?.remove()]);
});

/** The stream's database on one of the two. */
function at(server: PostgresServer): string {
  const url = new URL(server.address);
  url.pathname = new URL(stream.database.url).pathname;
  return url.href;
}

async function ask(server: PostgresServer, ...statements: string[]): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: at(server) });
  await client.connect();
  try {
    let rows: Record<string, unknown>[] = [];
    for (const statement of statements) ({ rows } = await client.query(statement));
    return rows;
  } finally {
    await client.end();
  }
}

const slots = (server: PostgresServer) =>
  ask(server, `SELECT FROM pg_replication_slots WHERE slot_name = 'afterimage_${stream.stream}'`);

/** Of the events since that sequence the rows' ids; the numbers have no gap. */
async function idsFrom(first: number): Promise<unknown[]> {
  const events = (await stream.events()).filter(({ sequence }) => sequence >= first);
  expect(events.map(({ sequence }) => sequence)).toEqual(events.map((_, at) => first + at));
  return events.map((event) => "key" in event && event.key?.id);
}

const nextSequence = async () => (await stream.progress())!.sequence + 1;

async function equalsTables(): Promise<void> {
  await waitFor(async () => (await stream.progress())?.snapshot.length === 0, { what: "the end of the snapshot" });
  const { code, kinds, output } = await verifyDatabase(stream, [], fromStandby);
  expect({ code, kinds }, output).toEqual({ code: 0, kinds: [] });
}

test("everything once, with the slot on the standby alone, across kills of the daemon and of the standby", async () => {
  await stream.start(fromStandby);
  expect([await slots(primary), await slots(standby)]).toEqual([[], [{}]]);
  await waitFor(async () => (await stream.progress())?.snapshot.length === 0, { what: "the end of the snapshot" });
  const first = await nextSequence();
  await stream.sqlAfresh(insert(11, 20));
  await stream.published();
  await stream.daemon.kill();
  await stream.sqlAfresh(insert(21, 30));
  const daemon = await stream.start(fromStandby);
  await stream.published();
  await standby.kill();
  await stream.sqlAfresh(insert(31, 40));
  await daemon.says('"state":"backing-off"');
  await standby.start();
  await stream.sqlAfresh(insert(41, 50));
  expect(await idsFrom(first)).toEqual(Array.from({ length: 40 }, (_, at) => 11 + at));
  await equalsTables();
  const doctor = stream.ask("doctor", fromStandby);
  expect(await doctor.exited(), doctor.output()).toMatchObject({ code: 0 });
});

test("a slot that a conflict with recovery took is lost by name, and a new epoch goes on", async () => {
  await ask(standby, "ALTER SYSTEM SET hot_standby_feedback = off", "SELECT pg_reload_conf()");
  const freed =
    "SELECT FROM pg_replication_slots WHERE slot_name = 'standby' AND catalog_xmin IS NULL AND xmin IS NULL";
  await waitFor(async () => (await ask(primary, freed)).length === 1, { what: "the feedback to be off" });
  await ask(primary, "CREATE TABLE gone (id int)", "DROP TABLE gone", "VACUUM FULL pg_class", "SELECT pg_switch_wal()");
  const lost = "SELECT invalidation_reason AS why FROM pg_replication_slots WHERE slot_type = 'logical'";
  await waitFor(async () => (await ask(standby, lost))[0]?.why === "rows_removed", { what: "the conflict" });
  await ask(standby, "ALTER SYSTEM SET hot_standby_feedback = on", "SELECT pg_reload_conf()");
  const { daemon } = stream;
  expect(await daemon.exited(), daemon.output()).toMatchObject({ code: 4 });
  expect(daemon.output()).toMatch(/SLOT_LOST: .*rows_removed/);
  expect(daemon.output()).toContain("hot_standby_feedback = on on the standby");
  await stream.sqlAfresh("DELETE FROM t WHERE id < 20");
  await stream.start(fromStandby, ["--new-epoch"]);
  await stream.sqlAfresh(insert(51, 60));
  await equalsTables();
});

test("the standby is promoted while it is read: named, and the stream goes on there from its slot", async () => {
  await stream.published();
  const first = await nextSequence();
  await ask(standby, "SELECT pg_promote()", insert(61, 65));
  const { daemon } = stream;
  expect(await daemon.exited(), daemon.output()).toMatchObject({ code: 4 });
  expect(daemon.output()).toContain('"code":"STANDBY_PROMOTED"');
  expect(await nextSequence()).toBe(first);
  await ask(standby, insert(66, 70));
  await stream.start({ AFTERIMAGE_POSTGRES_URL: at(standby) });
  await waitFor(async () => ((await stream.progress())?.sequence ?? 0) >= first + 9, { what: "the events" });
  expect(await stream.progress()).toMatchObject({ timeline: 2, sequence: first + 9 });
  const last = (await stream.stored()).map(({ event }) => event).filter(({ sequence }) => sequence >= first);
  expect(last.map((event) => "key" in event && event.key?.id)).toEqual(Array.from({ length: 10 }, (_, at) => 61 + at));
});
