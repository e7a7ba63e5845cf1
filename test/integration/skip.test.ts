// `afterimage skip`: an event at which the stream halts is left out on purpose, and a numbered gap says so.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, inject, onTestFinished, test } from "vitest";
import { formatPosition } from "../../src/event/position.ts";
import { createConsumer, sqliteStore } from "../../src/sdk/index.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { verifyDatabase } from "../support/verify-run.ts";
import { waitFor } from "../support/wait-for.ts";

let stream: CapturedStream;
afterEach(() => stream.drop());

/** Above the 16 MiB that topics take. */
const LARGE = "repeat('0123456789abcdef', 1100000)";

async function skip(code: number, args: readonly string[]): Promise<string> {
  const asked = stream.ask("skip", {}, args);
  expect(await asked.exited({ timeout: 60_000 }), asked.output()).toMatchObject({ code });
  return asked.output();
}

/** The position that the halt names. */
async function halted(code = "RECORD_TOO_LARGE"): Promise<string> {
  const daemon = stream.spawn();
  expect(await daemon.exited({ timeout: 60_000 }), daemon.output()).toMatchObject({ code: 4 });
  expect(daemon.output()).toContain(`"code":"${code}"`);
  return /afterimage skip (\S+) --reason/.exec(daemon.output())![1]!;
}

test("a row that no topic takes: refused anywhere else, left out by a gap in its place, and the table is read again once it fits", async () => {
  stream = await CapturedStream.create("CREATE TABLE t (id int PRIMARY KEY, v text)");
  await stream.sql("INSERT INTO t VALUES (1, 'a')");
  await stream.published();
  await stream.sql(
    `BEGIN; INSERT INTO t VALUES (2, 'b'); INSERT INTO t VALUES (3, ${LARGE}); INSERT INTO t VALUES (4, 'd'); COMMIT`,
  );
  await stream.daemon.exited({ timeout: 60_000 });
  const position = await halted();
  expect(position).toMatch(/^1:[0-9A-F]+\/[0-9A-F]+:2$/);
  const before = (await stream.progress())!;

  await skip(2, [position, "--reason", " "]);
  await skip(2, ["2", "--reason", "x"]);
  expect(await skip(4, [position.replace(/^1:/, "2:"), "--reason", "x"])).toContain("SKIP_POSITION");
  const last = formatPosition({ epoch: 1, ...before.last! });
  expect(await skip(4, [last, "--reason", "x"])).toContain("SKIP_POSITION");
  // It stands in the same transaction and is sound: the stream halts before it.
  expect(await skip(4, [position.replace(/2$/, "3"), "--reason", "x"])).toContain("RECORD_TOO_LARGE");
  expect((await stream.stored()).map(({ event }) => event.sequence)).toEqual([1]);

  const first = await skip(0, [position, "--reason", "too large"]);
  expect(first).toContain("not read again, since a row of it still has more than");
  // Not earlier: two in one batch have to be named together.
  await stream.sql(`INSERT INTO t VALUES (5, 'e'); UPDATE t SET v = ${LARGE} WHERE id = 4`);
  const next = await halted();
  expect(next).not.toBe(position);
  await stream.sql("UPDATE t SET v = 'small' WHERE id IN (3, 4)");
  expect(await skip(0, [next, "--reason", "too large as well"])).toContain("The next start reads the table again");

  await stream.start();
  await waitFor(async () => (await stream.progress())?.snapshot.length === 0, { what: "the end of the snapshot" });
  const { sequence } = await stream.published();
  const stored = (await stream.stored()).map(({ event }) => event);
  expect([...new Set(stored.map((event) => event.sequence))]).toEqual(
    Array.from({ length: sequence }, (_, at) => at + 1),
  );
  const gaps = stored.filter(({ operation }) => operation === "gap");
  expect(gaps).toHaveLength(8); // two, in each of four partitions
  expect(gaps[0]).toMatchObject({ reason: `skipped ${position}: too large`, transaction: { epoch: 1, index: 2 } });
  expect(
    stored.filter(({ transaction }) => transaction.id === gaps[0]!.transaction.id).map(({ operation }) => operation),
  ).toEqual(["insert", "gap", "gap", "gap", "gap", "insert"]);
  const { code, kinds, output } = await verifyDatabase(stream);
  expect({ code, kinds }, output).toEqual({ code: 0, kinds: [] });
});

test("bytes that are not UTF-8, and a message that no topic takes: each is left out by a gap of its own kind", async () => {
  const tables = { AFTERIMAGE_TABLES: "*.*,!public.aside" };
  const servers = { postgresUrl: inject("postgresUrl"), brokers: inject("brokers") };
  stream = await CapturedStream.create(
    "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE k (id text PRIMARY KEY); CREATE TABLE aside (v text); CREATE PUBLICATION everything FOR ALL TABLES",
    { ...tables, AFTERIMAGE_POSTGRES_PUBLICATION: "everything", AFTERIMAGE_MESSAGES_PREFIXES: "outbox" },
    servers,
    "SQL_ASCII",
  );
  await stream.sql("INSERT INTO t VALUES (1, 'a'); INSERT INTO k VALUES ('x'); INSERT INTO aside VALUES (E'\\xe9')");
  await stream.published();
  await stream.sql(
    "BEGIN; INSERT INTO t VALUES (2, 'b'); INSERT INTO aside VALUES (E'\\xe9'); INSERT INTO t VALUES (3, E'\\xe9'), (4, 'd'); COMMIT",
  );
  await stream.daemon.exited({ timeout: 60_000 });
  const inserted = await halted("TEXT_UNDECODABLE");
  expect(inserted).toMatch(/:3$/);
  expect(await skip(0, [inserted, "--reason", "Latin-1"])).toContain("since a row of it still holds bytes");

  // Of a key change only the half that can't be told is named.
  await stream.sql(
    "UPDATE k SET id = E'\\xe9'; UPDATE t SET v = 'c' WHERE id = 3; UPDATE t SET v = E'\\xe8' WHERE id = 4",
  );
  const moved = await halted("TEXT_UNDECODABLE");
  expect(moved).toMatch(/:2$/);
  await stream.sql("DELETE FROM k; INSERT INTO k VALUES ('y')");
  const outcome = await skip(4, [moved, "--reason", "Latin-1"]);
  const updated = /afterimage skip (\S+) --reason/.exec(outcome)![1]!;
  const deleted = /afterimage skip (\S+) --reason/.exec(await skip(4, [moved, updated, "--reason", "Latin-1"]))![1]!;
  await stream.sql("UPDATE t SET v = 'd' WHERE id = 4");
  const both = await skip(0, [moved, updated, deleted, "--reason", "Latin-1"]);
  expect(both.match(/The next start reads the table again/g)).toHaveLength(3);

  await stream.sql(`SELECT pg_logical_emit_message(true, 'outbox', ${LARGE})`);
  const emitted = await halted();
  expect(await skip(0, [emitted, "--reason", "kept elsewhere"])).toContain('Left out a message with prefix "outbox"');

  await stream.start();
  await waitFor(async () => (await stream.progress())?.snapshot.length === 0, { what: "the end of the snapshots" });
  await stream.sql("SELECT pg_logical_emit_message(true, 'outbox', 'next')");
  const { sequence } = await stream.published();
  const stored = await stream.stored();
  expect([...new Set(stored.map(({ event }) => event.sequence))]).toEqual(
    Array.from({ length: sequence }, (_, at) => at + 1),
  );
  const gaps = stored.flatMap(({ event }) =>
    event.operation === "gap" && event.transaction.id !== null ? [event] : [],
  );
  expect(gaps.filter(({ table }) => table === "public.t")).toHaveLength(8);
  expect(gaps.filter(({ table }) => table === "public.k")).toHaveLength(8);
  const ofMessages = gaps.filter(({ table }) => table === "messages");
  expect(ofMessages).toHaveLength(4);
  expect(ofMessages[0]).toMatchObject({ reason: `message "outbox": skipped ${emitted}: kept elsewhere`, copies: 4 });
  const { code, kinds, output } = await verifyDatabase(stream, [], tables);
  expect({ code, kinds }, output).toEqual({ code: 0, kinds: [] });

  const folder = await mkdtemp(join(tmpdir(), "afterimage-skip-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const told: string[] = [];
  const read = (gap?: () => void) => {
    const consumer = createConsumer({
      kafka: { brokers: stream.brokers },
      stream: stream.stream,
      group: "skipped",
      store: sqliteStore(join(folder, "view.db")),
      onCommit: ({ lag, waitingFor }) => void (lag === 0 && waitingFor.length === 0 && consumer.stop()),
    });
    return consumer.onMessage("outbox", ({ after }) => void told.push(after.content), { ...(gap && { gap }) }).run();
  };
  await expect(read()).rejects.toMatchObject({ code: "GAP_REACHED", message: expect.stringContaining('"outbox"') });
  await read(() => void told.push("gap"));
  expect(told).toEqual(["gap", "next"]);
});
