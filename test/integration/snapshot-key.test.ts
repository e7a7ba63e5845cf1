// Key columns that are altered between two chunks of a snapshot, which is held there: what was read until then was sorted,
// or told apart, otherwise.
import { readFileSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import { statusOf } from "../support/admin.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { armed } from "../support/failpoints/armed.ts";
import { temporaryFile } from "../support/products-view.ts";
import { verifyDatabase } from "../support/verify-run.ts";
import { waitFor } from "../support/wait-for.ts";

let stream: CapturedStream;
afterEach(() => stream.drop());

const LONG = { timeout: 60_000 };
const PAD = "repeat('x', 200)";
/** Each has far more rows than the chunks that are read before the daemon is stopped. */
const TABLES = `
  CREATE TABLE renamed (id int PRIMARY KEY, pad text);
  INSERT INTO renamed SELECT g, ${PAD} FROM generate_series(1, 2000) g;
  CREATE TABLE other_key (word text PRIMARY KEY, n int NOT NULL, pad text);
  INSERT INTO other_key SELECT 'w' || g, g, ${PAD} FROM generate_series(1, 2000) g;
  CREATE TABLE retyped (id text PRIMARY KEY, pad text);
  INSERT INTO retyped SELECT g, ${PAD} FROM generate_series(1, 2000) g;
  CREATE TYPE mood AS ENUM ('sad', 'glad');
  CREATE TABLE moody (m mood, id int, pad text, PRIMARY KEY (m, id));
  INSERT INTO moody SELECT 'sad', g, ${PAD} FROM generate_series(1, 2000) g;
  CREATE TABLE collated (k text COLLATE "C" PRIMARY KEY, pad text);
  INSERT INTO collated SELECT c || g, ${PAD} FROM generate_series(1001, 3000) g, unnest('{C,b}'::text[]) c;`;
/** "b" stands before "C" now; nothing else of the table's file is another one. */
const SORTED_OTHERWISE = 'ALTER TABLE collated ALTER k TYPE text COLLATE "en-x-icu"';
/** One transaction. A connection that was stopped inside a chunk holds its table, and lets go of it when it goes on. */
const ALTERED = `
  LOCK TABLE renamed, other_key, retyped, moody, collated IN ACCESS EXCLUSIVE MODE;
  ALTER TABLE renamed RENAME id TO key;
  ALTER TABLE other_key DROP CONSTRAINT other_key_pkey, ADD PRIMARY KEY (n);
  ALTER TABLE retyped ALTER id TYPE bigint USING id::bigint;
  ALTER TYPE mood RENAME VALUE 'sad' TO 'low';
  ${SORTED_OTHERWISE}`;

function stateOf(pid: number): string {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  return stat.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3);
}

/** Starts the daemon, which stops when it has read so many chunks, of all tables, and begun no other one. */
async function startAndStop(setup: string, chunks: number, settings: Record<string, string>): Promise<void> {
  stream = await CapturedStream.prepare(setup, {
    AFTERIMAGE_SNAPSHOT: "initial",
    AFTERIMAGE_BATCH_MAX_BYTES: "64KiB",
    ...settings,
  });
  await stream.start(armed("snapshot.chunk-read", chunks, "stop", temporaryFile()));
  await waitFor(() => stateOf(stream.daemon.pid) === "T", { what: "the daemon to be stopped", ...LONG });
}

async function expectEqual(): Promise<void> {
  await waitFor(
    async () => {
      expect(stream.daemon.child.exitCode, stream.daemon.output()).toBeNull();
      return (await stream.progress())?.snapshot.length === 0;
    },
    { what: "the end of the snapshots", ...LONG },
  );
  await stream.published();
  const { code, kinds, output } = await verifyDatabase(stream);
  expect({ code, kinds }, output).toEqual({ code: 0, kinds: [] });
}

/** Of what concerns a whole table, by table: the operation, or why there is another gap. */
async function barriers(): Promise<Record<string, string[]>> {
  const found: Record<string, string[]> = {};
  for (const event of await stream.events()) {
    if (event.operation === "gap" || event.operation === "sweep") {
      const why = "reason" in event ? /\((.*)\)/.exec(event.reason)?.[1] : undefined;
      const table = String(event.table);
      found[table] = [...(found[table] ?? []), why ?? event.operation];
    }
  }
  return found;
}

const ANSWERS = {
  "public.renamed": ["gap", "its key was (id) and is now (key)", "sweep"],
  "public.other_key": ["gap", "its key was (word) and is now (n)", "sweep"],
  "public.retyped": ["gap", "its rows were rewritten", "sweep"],
  "public.moody": ["gap", "a value of an enum was renamed", "sweep"],
  // Its rows are what they were, so it begins again behind the same gap.
  "public.collated": ["gap", "sweep"],
};

test("another key, or another order of its values, between two chunks: the tables are read anew", async () => {
  await startAndStop(TABLES, 15, { AFTERIMAGE_SNAPSHOT_CONNECTIONS: "5" });
  const altering = stream.sql(ALTERED).then(() => true);
  const waits =
    "SELECT FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
  const isWaiting = async () => (await stream.sqlAfresh(waits)).rows.length > 0;
  await waitFor(async () => (await isWaiting()) || Promise.race([altering, false]), {
    what: "the tables or a wait for them",
    ...LONG,
  });
  stream.daemon.signal("SIGCONT");
  await altering;
  await expectEqual();
  expect(await barriers()).toEqual(ANSWERS);
  // Told by the next look at the catalogue.
  const told = "Table public.collated is read from its beginning again: its key is sorted otherwise now.";
  await waitFor(async () => (await statusOf(stream.daemon)).notes.includes(told), {
    what: "the note",
    timeout: 60_000,
  });
}, 120_000);

test("the same while the daemon is down in the middle of a snapshot", async () => {
  await startAndStop(TABLES, 20, { AFTERIMAGE_SNAPSHOT_CONNECTIONS: "5" });
  await stream.daemon.kill();
  await stream.sql(ALTERED);
  await stream.start();
  await expectEqual();
  // What a start finds by itself opens with a plain gap.
  const byTheStart = ["gap", "gap", "sweep"];
  expect(await barriers()).toEqual({ ...ANSWERS, "public.retyped": byTheStart, "public.moody": byTheStart });
}, 120_000);
