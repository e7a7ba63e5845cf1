// `start --new-epoch`: the deliberate way on after changes were lost. What is missing is said by numbered gaps, every
// table is read again, and views and topics become equal to the tables.
import { DatabaseSync } from "node:sqlite";
import { afterEach, expect, onTestFinished, test } from "vitest";
import { KEYLESS_SNAPSHOT } from "../../src/event/change-event.ts";
import { createConsumer, sqliteStore } from "../../src/sdk/index.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { temporaryFile } from "../support/products-view.ts";
import { verifyDatabase } from "../support/verify-run.ts";
import { waitFor } from "../support/wait-for.ts";

let stream: CapturedStream;
afterEach(() => stream.drop());

const slot = () => `afterimage_${stream.stream}`;

/** A start that ends by itself, with exit code 4. */
async function halts(code: string, args: string[] = []): Promise<string> {
  const daemon = stream.ask("start", {}, args);
  expect(await daemon.exited({ timeout: 30_000 }), daemon.output()).toMatchObject({ code: 4 });
  expect(daemon.output()).toContain(`"code":"${code}"`);
  return daemon.output();
}

/** Starts with `--new-epoch`, and waits until every table is read. */
async function renew(settings: Record<string, string> = {}, ...more: string[]): Promise<void> {
  await stream.start(settings, ["--new-epoch", ...more]);
  await waitFor(async () => (await stream.progress())?.snapshot.length === 0, { what: "the end of the snapshots" });
}

/** A view of `t` that follows the stream; `equals` waits until it has all, and compares. */
function follow() {
  const file = temporaryFile();
  const consumer = createConsumer({
    kafka: { brokers: stream.brokers },
    stream: stream.stream,
    group: "test",
    store: sqliteStore(file, { setup: "CREATE TABLE copy (id INTEGER PRIMARY KEY, v TEXT)" }),
    logger: { info: () => undefined, warn: () => undefined },
  }).register("public.t", {
    upsert: (row, { tx }) => tx.upsert("copy", row),
    remove: (key, { tx }) => tx.delete("copy", key),
    clear: ({ tx }) => tx.clear("copy"),
    sweep: (_, { tx }) => tx.sweep("copy"),
  });
  const running = consumer.run();
  running.catch(() => undefined); // `equals` tells
  onTestFinished(() => consumer.stop());
  return async () => {
    const { sequence } = (await stream.stored()).filter(({ event }) => event.table === "public.t").at(-1)!.event;
    await waitFor(
      async () => {
        if (consumer.position().state === "failed") await running;
        return consumer.position().sequence >= sequence;
      },
      { what: `sequence ${sequence} in the view` },
    );
    const view = new DatabaseSync(file, { readOnly: true });
    const rows = view.prepare("SELECT id, v FROM copy ORDER BY id").all();
    view.close();
    expect(rows.map((row) => ({ ...row }))).toEqual((await stream.sql("SELECT id, v FROM t ORDER BY id")).rows);
  };
}

const TABLES = `CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE gone (id int PRIMARY KEY);
  CREATE TABLE log (v text); ALTER TABLE log REPLICA IDENTITY FULL`;

test("the slot is dropped while rows change: SLOT_LOST, and a new epoch makes the view equal; refused while nothing is wrong", async () => {
  stream = await CapturedStream.create(TABLES);
  const viewIsEqual = follow();
  await stream.sql(
    "INSERT INTO t SELECT g, 'old' FROM generate_series(1, 300) g; INSERT INTO gone VALUES (1), (2); INSERT INTO log VALUES ('x')",
  );
  await stream.published();
  expect(await halts("SLOT_IN_USE", ["--new-epoch"])).not.toContain("SLOT_LOST");
  await stream.daemon.kill("SIGTERM");
  expect(await halts("NEW_EPOCH_NOT_NEEDED", ["--new-epoch"])).toContain("--force");
  const before = (await stream.progress())!;

  await stream.sql("UPDATE t SET v = 'missed' WHERE id % 3 = 0");
  await stream.sql("SELECT pg_drop_replication_slot($1)", [slot()]);
  await stream.sql("DELETE FROM t WHERE id % 50 = 1; UPDATE t SET id = -id WHERE id % 40 = 2; DELETE FROM gone");
  await stream.sql("INSERT INTO t VALUES (1000, 'missed'); INSERT INTO log VALUES ('missed')");
  expect(await halts("SLOT_LOST")).toContain("afterimage start --new-epoch");
  expect(await stream.progress()).toEqual(before);

  await renew();
  await stream.sql("UPDATE t SET v = 'after' WHERE id = 7; INSERT INTO log VALUES ('after')");
  await waitFor(async () => (await stream.progress())?.snapshot.length === 0, { what: "the end of the snapshots" });
  const after = await stream.published();
  expect(after.epoch).toBe(2);
  await viewIsEqual();
  const stored = (await stream.stored()).map(({ event }) => event);
  const sequences = [...new Set(stored.map(({ sequence }) => sequence))];
  expect(sequences).toEqual(Array.from({ length: after.sequence }, (_, at) => at + 1));
  // Each stands in every partition.
  const bySequence = new Map(stored.map((event) => [event.sequence, event]));
  const gaps = sequences.map((sequence) => bySequence.get(sequence)!).filter((event) => event.operation === "gap");
  expect(gaps.map(({ table }) => table).sort()).toEqual(["public.gone", "public.log", "public.log", "public.t"]);
  // The rows of a table without a key follow behind a gap of their own.
  expect(gaps.pop()).toMatchObject({ table: "public.log", reason: KEYLESS_SNAPSHOT });
  for (const { reason, transaction, sequence } of gaps) {
    expect(reason).toContain("epoch 2 begins (SLOT_LOST)");
    expect(transaction).toMatchObject({ id: null, epoch: 2, index: 0 });
    expect(sequence).toBeGreaterThan(before.sequence);
  }
  const { kinds } = await verifyDatabase(stream);
  expect(kinds).toEqual([]);
  await stream.daemon.kill("SIGTERM");
  await stream.start();
  expect((await stream.progress())?.epoch).toBe(2);
});
