// Snapshots on demand: asked of the running daemon, kept through a restart, and taken by views.
import { DatabaseSync } from "node:sqlite";
import pg from "pg";
import { afterEach, expect, onTestFinished, test } from "vitest";
import { createConsumer, sqliteStore } from "../../src/sdk/index.ts";
import { adminAddress, cancelSnapshot, requestSnapshot, statusOf } from "../support/admin.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { temporaryFile } from "../support/products-view.ts";
import { verifyDatabase } from "../support/verify-run.ts";
import { waitFor } from "../support/wait-for.ts";

let stream: CapturedStream;
afterEach(() => stream.drop());

const TABLE = `CREATE TABLE t (id int PRIMARY KEY, v text, body text); ALTER TABLE t ALTER body SET STORAGE EXTERNAL;
  INSERT INTO t SELECT g, 'old', repeat(md5(g::text), 80) FROM generate_series(1, 500) g`;
const over = () =>
  waitFor(async () => (await stream.progress())?.snapshot.length === 0, { what: "the end of the snapshot" });
const operations = async () => (await stream.events()).map(({ operation }) => operation);

test("afterimage snapshot TABLE: rows older than the stream come into it, and a view takes them", async () => {
  stream = await CapturedStream.create(TABLE);
  const file = temporaryFile();
  const consumer = createConsumer({
    kafka: { brokers: stream.brokers },
    stream: stream.stream,
    group: "test",
    store: sqliteStore(file, { setup: "CREATE TABLE copy (id INTEGER PRIMARY KEY, v TEXT, body TEXT)" }),
    logger: { info: () => undefined, warn: () => undefined },
  }).register("public.t", {
    upsert: (row, { tx }) => tx.upsert("copy", row),
    remove: (key, { tx }) => tx.delete("copy", key),
    clear: ({ tx }) => tx.clear("copy"),
    sweep: (_, { tx }) => tx.sweep("copy"),
  });
  const running = consumer.run();
  onTestFinished(async () => {
    await consumer.stop();
    await running;
  });
  await stream.sql("INSERT INTO t VALUES (1000, 'new', 'small'), (1001, 'new', 'small')");
  await stream.published();
  const asked = stream.ask("snapshot", { AFTERIMAGE_ADMIN_PORT: new URL(await adminAddress(stream.daemon)).port }, [
    "public.t",
  ]);
  expect(await asked.exited(), asked.output()).toMatchObject({ code: 0 });
  expect(asked.stdout()).toContain("Snapshot of public.t begun");
  await stream.sql(
    "UPDATE t SET v = 'seen' WHERE id % 5 = 0; DELETE FROM t WHERE id % 50 = 1; UPDATE t SET id = -id WHERE id % 40 = 3",
  );
  await over();
  await stream.sql("UPDATE t SET v = 'last' WHERE id = 7");
  const { sequence } = await stream.published();
  const { code, kinds, output } = await verifyDatabase(stream);
  expect({ code, kinds }, output).toEqual({ code: 0, kinds: [] });
  await waitFor(
    async () => {
      if (consumer.position().state === "failed") await running;
      return consumer.position().sequence >= sequence;
    },
    { what: "the view" },
  );
  const view = new DatabaseSync(file, { readOnly: true });
  const rows = view
    .prepare("SELECT id, v, body FROM copy ORDER BY id")
    .all()
    .map((row) => ({ ...row }));
  view.close();
  expect(rows).toEqual((await stream.sql("SELECT id, v, body FROM t ORDER BY id")).rows);
});

test("--where reads those rows alone, without gap and sweep", async () => {
  stream = await CapturedStream.create(TABLE);
  expect(await requestSnapshot(stream.daemon, "t", "id <= 3 OR v = 'it''s'")).toBeNull();
  await over();
  await waitFor(async () => (await operations()).length === 3, { what: "the rows" });
  expect((await stream.events()).map(({ operation, key }) => [operation, key?.id])).toEqual([
    ["read", 1],
    ["read", 2],
    ["read", 3],
  ]);
});

test("a condition that fails on a row ends that snapshot with a note, and nothing else", async () => {
  stream = await CapturedStream.create(TABLE);
  expect(await requestSnapshot(stream.daemon, "public.t", "1 / (id - 100) < 1")).toBeNull();
  await waitFor(async () => (await statusOf(stream.daemon)).notes.some((note) => note.includes("was given up")), {
    what: "the note",
  });
  await over();
  await stream.sql("INSERT INTO t VALUES (1000, 'new', 'small')");
  expect(await operations()).toEqual(["insert"]);
});

test("what can't be read is refused with a code, and nothing begins", async () => {
  stream = await CapturedStream.create(`${TABLE}; CREATE TABLE log (v text); ALTER TABLE log REPLICA IDENTITY FULL`);
  const ask = (table: string, where?: string) => requestSnapshot(stream.daemon, table, where);
  expect(await ask("public.nothing")).toBe("SNAPSHOT_TABLE_UNKNOWN");
  expect(await ask("public.log", "v = 'x'")).toBe("SNAPSHOT_KEYLESS");
  expect(await ask("public.t", "no_such_column = 1")).toBe("SNAPSHOT_CONDITION");
  expect(await ask("public.t", "true); DROP TABLE t; SELECT (1")).toBe("SNAPSHOT_CONDITION");
  expect((await stream.sql("SELECT count(*)::int AS n FROM t")).rows).toEqual([{ n: 500 }]);
  expect((await statusOf(stream.daemon)).snapshot).toEqual([]);
  expect(await operations()).toEqual([]);
});

test("one is not begun twice; a restart goes on with it, and status tells how far it is", async () => {
  stream = await CapturedStream.create(TABLE);
  // A transaction at work that has written to the table: it may have committed for all the daemon knows.
  const writing = await idle("INSERT INTO t VALUES (900, 'x', 'y')");
  expect(await requestSnapshot(stream.daemon, "public.t")).toBeNull();
  expect(await requestSnapshot(stream.daemon, "public.t")).toBe("SNAPSHOT_UNDER_WAY");
  await waitFor(async () => (await statusOf(stream.daemon)).snapshot[0]?.waitingFor != null, { what: "it to wait" });
  expect((await statusOf(stream.daemon)).snapshot[0]).toMatchObject({ table: "public.t", rows: 0 });
  await waitFor(async () => (await statusOf(stream.daemon)).state === "snapshotting", {
    what: "the state snapshotting",
  });
  await stream.daemon.kill();
  await stream.start();
  await writing.commit();
  await over();
  const all = await operations();
  expect(all.filter((operation) => operation === "gap" || operation === "sweep")).toEqual(["gap", "sweep"]);
  const { code, kinds, output } = await verifyDatabase(stream);
  expect({ code, kinds }, output).toEqual({ code: 0, kinds: [] });
});

test("a table that is new to a stream is read at the next start; one that is empty is not", async () => {
  stream = await CapturedStream.create("CREATE TABLE first (id int PRIMARY KEY)", { AFTERIMAGE_SNAPSHOT: "initial" });
  await stream.daemon.kill("SIGTERM");
  await stream.sql(`${TABLE}; CREATE TABLE empty (id int PRIMARY KEY)`);
  await stream.start();
  await over();
  expect(await operations()).toEqual(["gap", ...Array(500).fill("read"), "sweep"]);
  await stream.daemon.kill("SIGTERM");
  await stream.start();
  await stream.sql("INSERT INTO empty VALUES (1)");
  expect(await operations()).toHaveLength(503);
});

/** A transaction that stays open, and idle, until it is ended. */
async function idle(sql: string): Promise<{ commit(): Promise<void> }> {
  const client = new pg.Client({ connectionString: stream.database.url });
  client.on("error", () => undefined); // the database is dropped with it when a test fails
  await client.connect();
  await client.query(`BEGIN; ${sql}`);
  return {
    async commit() {
      await client.query("COMMIT");
      await client.end();
    },
  };
}
const waitsFor = (what: string) =>
  waitFor(async () => (await statusOf(stream.daemon)).snapshot[0]?.waitingFor?.startsWith(what) === true, {
    what: `it to wait for ${what}`,
  });
async function expectEqual(): Promise<void> {
  await stream.published();
  const { code, kinds, output } = await verifyDatabase(stream);
  expect({ code, kinds }, output).toEqual({ code: 0, kinds: [] });
}

test("a table that is renamed while it is read halts; its snapshot goes on when it has its name again", async () => {
  stream = await CapturedStream.create(TABLE, { AFTERIMAGE_ON_REWRITE: "halt" });
  const renaming = await idle("ALTER TABLE t RENAME TO u");
  expect(await requestSnapshot(stream.daemon, "public.t")).toBeNull();
  await waitsFor("a lock");
  await renaming.commit();
  expect(await stream.daemon.exited()).toMatchObject({ code: 4 });
  expect(stream.daemon.output()).toContain('"code":"TABLE_RENAMED"');
  expect([...new Set((await stream.stored()).map(({ event }) => event.operation))]).toEqual(["gap"]);
  await stream.sqlAfresh("ALTER TABLE u RENAME TO t");
  await stream.start();
  await over();
  await expectEqual();
});

test("an index that is rebuilt meanwhile is waited for", async () => {
  stream = await CapturedStream.create(TABLE);
  const rebuilding = await idle("REINDEX INDEX t_pkey");
  expect(await requestSnapshot(stream.daemon, "public.t")).toBeNull();
  await waitsFor("a lock");
  await rebuilding.commit();
  await over();
  await expectEqual();
});

test("what an open transaction wrote before its table was published is read after its end", async () => {
  stream = await CapturedStream.create("CREATE TABLE first (id int PRIMARY KEY)", { AFTERIMAGE_SNAPSHOT: "initial" });
  await stream.daemon.kill("SIGTERM");
  await stream.sql(TABLE);
  const writing = await idle("INSERT INTO t VALUES (901, 'before', 'x'); UPDATE t SET v = 'before' WHERE id = 3");
  await stream.start();
  await waitsFor("transaction ");
  await writing.commit();
  await over();
  await expectEqual();
});

test("one that waits is given up for good, and can be asked for again", async () => {
  stream = await CapturedStream.create(TABLE);
  const writing = await idle("INSERT INTO t VALUES (902, 'x', 'y')");
  expect(await requestSnapshot(stream.daemon, "public.t")).toBeNull();
  await waitsFor("transaction ");
  expect(await cancelSnapshot(stream.daemon, "t")).toBeNull();
  expect((await stream.progress())?.snapshot).toEqual([]);
  expect(await cancelSnapshot(stream.daemon, "t")).toBe("SNAPSHOT_NOT_UNDER_WAY");
  expect(await requestSnapshot(stream.daemon, "public.t")).toBeNull();
  await writing.commit();
  await over();
  const own = (await stream.events()).filter(({ operation }) => operation === "gap" || operation === "sweep");
  expect(own.map(({ operation }) => operation)).toEqual(["gap", "gap", "gap", "sweep"]);
  expect(own[1]).toMatchObject({ reason: "snapshot given up: it was cancelled" });
  expect(own[3]).toMatchObject({ since: own[2]!.sequence });
  await expectEqual();
});

test("a table that leaves the publication while it is read gets no sweep: its rows are not gone", async () => {
  stream = await CapturedStream.create(TABLE);
  const writing = await idle("INSERT INTO t VALUES (903, 'x', 'y')");
  expect(await requestSnapshot(stream.daemon, "public.t")).toBeNull();
  await waitsFor("transaction ");
  await stream.sql(`ALTER PUBLICATION afterimage_${stream.stream} DROP TABLE t`);
  await writing.commit();
  await over();
  expect((await stream.stored()).map(({ event }) => event.operation)).toContain("gap");
  expect((await stream.stored()).map(({ event }) => event.operation)).not.toContain("sweep");
  await waitFor(async () => (await statusOf(stream.daemon)).notes.some((note) => note.includes("was given up")), {
    what: "the note",
  });
  const gaps = (await stream.events()).flatMap((event) => (event.operation === "gap" ? [event.reason] : []));
  expect(gaps.at(-1)).toBe("snapshot given up: the table is not published any more");
  const { code, report, output } = await verifyDatabase(stream);
  expect(code, output).toBe(0);
  expect(report.findings.map(({ kind }) => kind)).toContain("TABLE_LEFT");
});

test("a view stops at an update of a row that a cancelled snapshot did not read, as without a snapshot", async () => {
  stream = await CapturedStream.create(TABLE);
  const writing = await idle("INSERT INTO t VALUES (904, 'x', 'y')");
  expect(await requestSnapshot(stream.daemon, "public.t")).toBeNull();
  await waitsFor("transaction ");
  await stream.sql("UPDATE t SET v = 'meanwhile' WHERE id = 7");
  await stream.published();
  expect(await cancelSnapshot(stream.daemon, "public.t")).toBeNull();
  await writing.commit();
  await stream.published();
  const { kinds, output } = await verifyDatabase(stream);
  expect(kinds, output).toEqual(["TABLE_NOT_FOLDED"]);
  expect(output).toContain("snapshot given up: it was cancelled");
  await stream.sql("UPDATE t SET v = 'new' WHERE id = 8");
  const consumer = createConsumer({
    kafka: { brokers: stream.brokers },
    stream: stream.stream,
    group: "test",
    store: sqliteStore(temporaryFile(), { setup: "CREATE TABLE copy (id INTEGER PRIMARY KEY, v TEXT, body TEXT)" }),
    logger: { info: () => undefined, warn: () => undefined },
  }).register("public.t", {
    upsert: (row, { tx }) => tx.upsert("copy", row),
    remove: (key, { tx }) => tx.delete("copy", key),
    clear: ({ tx }) => tx.clear("copy"),
  });
  onTestFinished(() => consumer.stop());
  await expect(consumer.run()).rejects.toMatchObject({ code: "ROW_UNKNOWN" });
});
