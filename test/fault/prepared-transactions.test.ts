// Prepared transactions: open for as long as somebody likes, without a session, and whatever restarts. They are published
// at COMMIT PREPARED, and whoever waits for one says so by its name.
import { afterEach, expect, inject, onTestFinished, test } from "vitest";
import { startPostgres } from "../../dev/servers/servers.ts";
import { parseLsn } from "../../src/event/lsn.ts";
import { requestSnapshot, statusOf } from "../support/admin.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { slotsReleased } from "../support/database.ts";
import { listTopics } from "../support/topics.ts";
import { verifyDatabase } from "../support/verify-run.ts";
import { waitFor } from "../support/wait-for.ts";

let stream: CapturedStream;
afterEach(async () => {
  const { rows } = await stream.sql("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()");
  for (const { gid } of rows) await stream.sql(`ROLLBACK PREPARED '${gid}'`);
  await stream.drop();
});

const TABLE = "CREATE TABLE t (id int PRIMARY KEY, note text)";
const gid = (name: string) => `${stream.stream}_${name}`;
const prepare = (name: string, statement: string) =>
  stream.sqlAfresh(`BEGIN; ${statement}; PREPARE TRANSACTION '${gid(name)}'`);
const order = async () => (await stream.events()).map(({ operation, key }) => `${operation} ${key?.id}`);

test("events stand where COMMIT PREPARED does among other commits, with savepoints, also after kills in between", async () => {
  stream = await CapturedStream.create(TABLE);
  await prepare("a", "INSERT INTO t VALUES (1, 'a'); SAVEPOINT s; INSERT INTO t VALUES (2, 'gone'); ROLLBACK TO s");
  await prepare("b", "INSERT INTO t VALUES (3, 'b'); SAVEPOINT s; INSERT INTO t VALUES (4, 'b'); RELEASE s");
  await prepare("c", "INSERT INTO t VALUES (5, 'c')");
  await stream.sql("INSERT INTO t VALUES (6, 'plain')");
  expect(await order()).toEqual(["insert 6"]);
  await stream.daemon.kill();
  await stream.sql(`COMMIT PREPARED '${gid("b")}'`);
  await stream.start();
  await stream.sql("INSERT INTO t VALUES (7, 'plain')");
  await stream.sql(`ROLLBACK PREPARED '${gid("c")}'`);
  expect(await order()).toEqual(["insert 6", "insert 3", "insert 4", "insert 7"]);
  await stream.daemon.kill();
  await stream.start();
  await stream.sql(`COMMIT PREPARED '${gid("a")}'`);
  await stream.sql("INSERT INTO t VALUES (8, 'plain')");
  expect(await order()).toEqual(["insert 6", "insert 3", "insert 4", "insert 7", "insert 1", "insert 8"]);
  const positions = (await stream.events()).map(({ transaction }) => parseLsn(transaction.lsn));
  expect(positions.every((lsn, at) => at === 0 || lsn >= positions[at - 1]!)).toBe(true);
});

test("a snapshot waits for a prepared transaction that wrote to its table, and the status names it", async () => {
  stream = await CapturedStream.create(`${TABLE}; INSERT INTO t SELECT g, 'old' FROM generate_series(1, 500) g`);
  await prepare("writer", "UPDATE t SET note = 'new' WHERE id = 5; INSERT INTO t VALUES (501, 'new')");
  expect(await requestSnapshot(stream.daemon, "public.t")).toBeNull();
  const waiting = () =>
    waitFor(async () => (await statusOf(stream.daemon)).snapshot[0]?.waitingFor?.includes(gid("writer")) === true, {
      what: "the status to name the transaction",
    });
  await waiting();
  await stream.daemon.kill();
  await stream.start();
  await waiting();
  await stream.sql("INSERT INTO t VALUES (502, 'beside')");
  expect(await order()).toEqual(["gap undefined", "insert 502"]);
  await stream.sql(`COMMIT PREPARED '${gid("writer")}'`);
  await waitFor(async () => (await statusOf(stream.daemon)).snapshot.length === 0, {
    what: "its end",
  });
  const events = await stream.events();
  const of = (id: number) => events.filter(({ key }) => key?.id === id).at(-1)!.after;
  expect([of(5), of(501)]).toMatchObject([{ note: "new" }, { note: "new" }]);
  const { code, kinds, output } = await verifyDatabase(stream);
  expect({ code, kinds }, output).toEqual({ code: 0, kinds: [] });
});

test("a first start that a prepared transaction holds up names it; a slot with two_phase is refused, and nothing is made", async () => {
  // Of its own: on the run's server it could be another test's transaction that holds it up.
  const server = await startPostgres();
  onTestFinished(() => server.remove());
  stream = await CapturedStream.prepare(TABLE, {}, { postgresUrl: server.address, brokers: inject("brokers") });
  const slot = `afterimage_${stream.stream}`;
  await prepare("blocker", "INSERT INTO t VALUES (1, 'early')");
  const blocked = stream.spawn({ AFTERIMAGE_STARTUP_WAIT: "1s" });
  expect(await blocked.exited()).toMatchObject({ code: 4 });
  expect(blocked.output()).toContain("SLOT_BLOCKED");
  expect(blocked.output()).toContain(`COMMIT PREPARED '${gid("blocker")}'`);
  await stream.sql(`COMMIT PREPARED '${gid("blocker")}'`);

  await stream.sql("SELECT pg_create_logical_replication_slot($1, 'pgoutput', false, true)", [slot]);
  const refused = stream.spawn();
  expect(await refused.exited()).not.toMatchObject({ code: 0 });
  expect(refused.output()).toContain("SLOT_TWO_PHASE");
  expect(await listTopics(stream.brokers, `${stream.stream}.`)).toEqual([]);
  await slotsReleased(stream.database.url);
  await stream.sql("SELECT pg_drop_replication_slot($1)", [slot]);

  await stream.start();
  await stream.sql("INSERT INTO t VALUES (2, 'late')");
  expect(await order()).toEqual(["insert 2"]);
});
