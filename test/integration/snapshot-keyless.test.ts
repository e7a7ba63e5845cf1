// Tables without a key: each row counts once, as a row that was read or by its events, whatever is written and killed.
import { DatabaseSync } from "node:sqlite";
import pg from "pg";
import { afterEach, expect, onTestFinished, test } from "vitest";
import { createConsumer, sqliteStore } from "../../src/sdk/index.ts";
import { requestSnapshot } from "../support/admin.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { temporaryFile } from "../support/products-view.ts";
import { verifyDatabase } from "../support/verify-run.ts";
import { waitFor } from "../support/wait-for.ts";

let stream: CapturedStream;
afterEach(() => stream.drop());

const ROWS = 30_000;
const SETUP = `CREATE TABLE log (v text, n int); ALTER TABLE log REPLICA IDENTITY FULL;
  INSERT INTO log SELECT 'row ' || g % 5000, g % 7 FROM generate_series(1, ${ROWS}) g;
  CREATE TABLE appended (v text) PARTITION BY LIST (v);
  CREATE TABLE appended_a PARTITION OF appended FOR VALUES IN ('a'); ALTER TABLE appended_a REPLICA IDENTITY FULL;
  INSERT INTO appended SELECT 'a' FROM generate_series(1, 10)`;

async function write(client: pg.Client, round: number): Promise<void> {
  const row = `row ${(round * 17) % 5000}`;
  await client.query("INSERT INTO log VALUES ($1, 1), ($1, 1)", [row]);
  await client.query("UPDATE log SET n = n + 1 WHERE v = $1", [row]);
  await client.query("DELETE FROM log WHERE v = $1 AND n = 2", [`row ${(round * 31) % 5000}`]);
  await client.query("INSERT INTO appended VALUES ('a')");
}

const readSoFar = async () =>
  (await stream.progress())?.snapshot.find(({ table }) => table === "public.log")?.rows ?? null;
const over = () =>
  waitFor(async () => (await stream.progress())?.snapshot.length === 0, {
    what: "the end of the snapshots",
    timeout: 60_000,
  });
async function expectEqual(): Promise<void> {
  await stream.published();
  const { code, kinds, output } = await verifyDatabase(stream);
  expect({ code, kinds }, output).toEqual({ code: 0, kinds: [] });
}

test("under writes, killed in the middle and begun again, and asked for once more", async () => {
  stream = await CapturedStream.prepare(SETUP, {
    AFTERIMAGE_SNAPSHOT: "initial",
    AFTERIMAGE_BATCH_MAX_BYTES: "64KiB",
  });
  const writer = new pg.Client({ connectionString: stream.database.url });
  await writer.connect();
  let stopped = false;
  const writing = (async () => {
    for (let round = 1; !stopped; round++) {
      await write(writer, round);
    }
  })();
  try {
    await stream.start();
    await waitFor(async () => ((await readSoFar()) ?? 0) > 0, { what: "some rows to be read", timeout: 60_000 });
    await stream.daemon.kill();
    const { snapshot } = (await stream.progress())!;
    await stream.start();
    await over();
    if (snapshot.some(({ table }) => table === "public.log")) {
      const gaps = (await stream.stored()).filter(
        ({ event, topic }) => event.table === "public.log" && event.operation === "gap" && topic.endsWith("log"),
      );
      expect(new Set(gaps.map(({ event }) => event.sequence)).size).toBe(2);
    }
    expect(await requestSnapshot(stream.daemon, "public.log")).toBeNull();
    await over();
  } finally {
    stopped = true;
    await writing.finally(() => writer.end());
  }
  await expectEqual();
}, 120_000);

test("a view with upsert alone begins from nothing at each of its gaps", async () => {
  stream = await CapturedStream.create(
    "CREATE TABLE log (v text); ALTER TABLE log REPLICA IDENTITY FULL; INSERT INTO log VALUES ('a'), ('a'), ('b')",
  );
  const file = temporaryFile();
  const consumer = createConsumer({
    kafka: { brokers: stream.brokers },
    stream: stream.stream,
    group: "test",
    store: sqliteStore(file, { setup: "CREATE TABLE copy (n INTEGER PRIMARY KEY, v TEXT)" }),
    logger: { info: () => undefined, warn: () => undefined },
  }).register("public.log", {
    upsert: (row, { tx, event }) => tx.upsert("copy", { n: event.sequence, v: row.v ?? null }),
    remove: () => undefined,
    clear: ({ tx }) => tx.clear("copy"),
  });
  const running = consumer.run();
  onTestFinished(async () => {
    await consumer.stop();
    await running;
  });
  await stream.sql("INSERT INTO log VALUES ('c')");
  for (const _ of ["once", "and again"]) {
    expect(await requestSnapshot(stream.daemon, "log")).toBeNull();
    await over();
  }
  const { sequence } = await stream.published();
  await waitFor(
    async () => {
      if (consumer.position().state === "failed") await running;
      return consumer.position().sequence >= sequence;
    },
    { what: "the view" },
  );
  const view = new DatabaseSync(file, { readOnly: true });
  const rows = view.prepare("SELECT v FROM copy ORDER BY v").all();
  view.close();
  expect(rows.map(({ v }) => v)).toEqual(["a", "a", "b", "c"]);
}, 60_000);
