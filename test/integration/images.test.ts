// `images: complete`: whole rows before and after without REPLICA IDENTITY FULL, also after a kill at any moment and
// whatever has become of the file that holds them.
import { copyFileSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { ChangeEvent, RowEvent } from "../../src/event/change-event.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { verifyDatabase } from "../support/verify-run.ts";
import { waitFor } from "../support/wait-for.ts";

const folder = mkdtempSync(join(tmpdir(), "images-"));
const file = join(folder, "store.images");
const SETTINGS = {
  AFTERIMAGE_SNAPSHOT: "initial",
  AFTERIMAGE_BATCH_MAX_BYTES: "64KiB",
  AFTERIMAGE_IMAGES: "public.t=complete,public.parted=complete,public.wiped=complete",
  AFTERIMAGE_IMAGES_FILE: file,
};

let stream: CapturedStream;
beforeAll(async () => {
  stream = await CapturedStream.create(
    `CREATE TABLE t (id int PRIMARY KEY, n float8, v text, body text);
     ALTER TABLE t ALTER body SET STORAGE EXTERNAL;
     INSERT INTO t SELECT g, g / 3.0, 'old ' || g, repeat(md5(g::text), 100) FROM generate_series(1, 300) g;
     CREATE TABLE parted (id int, v text, body text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
     CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (100);
     CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (100) TO (200);
     ALTER TABLE parted_low ALTER body SET STORAGE EXTERNAL;
     ALTER TABLE parted_high ALTER body SET STORAGE EXTERNAL;
     CREATE TABLE wiped (id int PRIMARY KEY, v text);
     CREATE TABLE plain (id int PRIMARY KEY, v text)`,
    SETTINGS,
  );
  await waitFor(async () => (await stream.progress())?.snapshot.length === 0, {
    what: "the end of the snapshot",
    timeout: 60_000,
  });
}, 120_000);
afterAll(async () => {
  await stream?.drop();
  rmSync(folder, { recursive: true, force: true });
});

const isRow = (event: ChangeEvent): event is RowEvent => "key" in event && event.key !== null && event.table !== null;

/** The events from this sequence on. */
async function eventsSince(sequence: number): Promise<ChangeEvent[]> {
  return (await stream.events(60_000)).filter((event) => event.sequence > sequence);
}

const lastSequence = async () => (await stream.published(60_000)).sequence;

/** From the first event of a row on, its `before` is its last `after`, to the byte, and no value is left out. */
async function expectChained(tables: readonly string[]): Promise<number> {
  const rows = new Map<string, string>();
  let chained = 0;
  for (const event of await stream.events(60_000)) {
    if (event.table === null || !tables.includes(event.table)) {
      continue;
    }
    if (!isRow(event)) {
      for (const key of rows.keys()) {
        if (event.operation !== "sweep" && key.startsWith(`${event.table} `)) rows.delete(key);
      }
      continue;
    }
    const key = `${event.table} ${JSON.stringify(event.key)}`;
    if (event.operation === "update" || event.operation === "delete") {
      expect([event.sequence, JSON.stringify(event.before)]).toEqual([event.sequence, rows.get(key)]);
      chained++;
    }
    expect([event.sequence, event.operation === "read" ? undefined : event.unchanged]).toEqual([
      event.sequence,
      undefined,
    ]);
    if (event.after === null) {
      rows.delete(key);
    } else {
      rows.set(key, JSON.stringify(event.after));
    }
  }
  return chained;
}

test("an update, a key change and a delete hold the whole row, with the values that Postgres did not send", async () => {
  const before = await lastSequence();
  await stream.sql("UPDATE t SET v = 'new' WHERE id = 1");
  await stream.sql("UPDATE t SET id = 1001 WHERE id = 1");
  await stream.sql("DELETE FROM t WHERE id = 1001");
  await stream.sql("INSERT INTO plain VALUES (1, 'a'); UPDATE plain SET v = 'b'");
  const { rows } = await stream.sql("SELECT repeat(md5('1'), 100) AS body");
  const old = { id: 1, n: 0.3333333333333333, v: "old 1", body: rows[0]!.body };
  expect(await eventsSince(before)).toMatchObject([
    { operation: "update", before: old, after: { ...old, v: "new" } },
    { operation: "delete", before: { ...old, v: "new" }, nextKey: { id: 1001 } },
    { operation: "insert", before: null, after: { ...old, v: "new", id: 1001 }, previousKey: { id: 1 } },
    { operation: "delete", before: { ...old, v: "new", id: 1001 } },
    { operation: "insert", after: { id: 1, v: "a" } },
    { operation: "update", before: null, after: { id: 1, v: "b" } },
  ]);
  expect(await expectChained(["public.t"])).toBeGreaterThan(0);
});
