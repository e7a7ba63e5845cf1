// `images: complete`: whole rows before and after without REPLICA IDENTITY FULL, also after a kill at any moment and
// whatever has become of the file that holds them.
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
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

/** One transaction after the other until stopped: rows that come, change, move, go, and whole tables that are wiped. */
function writing(round: number): { stop: () => Promise<void>; written: (transactions: number) => Promise<number> } {
  let over = false;
  let transactions = 0;
  const run = async () => {
    for (let at = round * 1000; !over; at++) {
      await stream.sql(
        `BEGIN;
         INSERT INTO t SELECT g, g / 7.0, 'v' || g, repeat(md5(g::text), 100)
           FROM generate_series(2000 + ${at} * 5, 2004 + ${at} * 5) g;
         UPDATE t SET v = v || '+', n = n * 3 WHERE id % 11 = ${at % 11};
         UPDATE t SET body = repeat(md5('${at}'), 90) WHERE id % 17 = ${at % 17};
         UPDATE t SET id = -id WHERE id % 13 = ${at % 13};
         DELETE FROM t WHERE abs(id) % 19 = ${at % 19};
         COMMIT`,
      );
      await stream.sql(
        `INSERT INTO parted SELECT g, 'p', repeat(md5(g::text), 100) FROM generate_series(0, 99, 7) g ON CONFLICT DO NOTHING;
         UPDATE parted SET v = v || 'x';
         DELETE FROM parted WHERE id = ${100 + ((at * 7) % 100)};
         UPDATE parted SET id = id + 100 WHERE id = ${(at * 7) % 100};
         INSERT INTO wiped VALUES (${at}, 'w') ON CONFLICT DO NOTHING;
         UPDATE wiped SET v = v || 'w'`,
      );
      if (at % 5 === 4) {
        await stream.sql("TRUNCATE wiped");
      }
      transactions++;
    }
  };
  const running = run();
  return {
    written: (count) =>
      waitFor(() => (transactions >= count ? transactions : null), {
        what: `${count} rounds of writing`,
        timeout: 60_000,
      }),
    stop: async () => {
      over = true;
      await running;
    },
  };
}

test("killed while it writes, with the file gone, an older one or another's: every image is right", async () => {
  const older = join(folder, "older");
  const strikes: (() => void)[] = [
    () => copyFileSync(file, older),
    () => {
      rmSync(file);
      rmSync(`${file}-wal`, { force: true });
    },
    () => {
      rmSync(`${file}-wal`, { force: true });
      copyFileSync(older, file);
    },
    () => {
      // As if it had followed another topic: one record stood elsewhere there, and rows were others.
      const database = new DatabaseSync(file);
      const { id } = database.prepare("SELECT id FROM tables WHERE name = 'public.t'").get() as { id: number };
      database.exec(`UPDATE positions SET log_offset = log_offset - 2 WHERE table_id = ${id};
                     UPDATE rows_${id} SET row = json_set(row, '$[2]', 'invented')`);
      database.close();
    },
  ];
  for (const [round, strike] of strikes.entries()) {
    const writer = writing(round);
    try {
      await writer.written(3);
      await stream.daemon.kill();
    } finally {
      await writer.stop();
    }
    strike();
    await stream.start();
  }
  await stream.published(60_000);
  expect(await expectChained(["public.t", "public.parted_low", "public.parted_high", "public.wiped"])).toBeGreaterThan(
    500,
  );
  const { code, kinds, output } = await verifyDatabase(stream);
  expect({ code, kinds }, output).toEqual({ code: 0, kinds: [] });
}, 240_000);

test("a file that can't be read, and a table that is not there, are named before anything is published", async () => {
  const before = await lastSequence();
  await stream.daemon.kill();
  writeFileSync(file, "no database");
  rmSync(`${file}-wal`, { force: true });
  const broken = stream.spawn();
  expect((await broken.exited({ timeout: 60_000 })).code).toBe(4);
  expect(broken.stderr()).toContain("IMAGES_FAILED");
  const unknown = stream.spawn({ AFTERIMAGE_IMAGES: "public.nowhere=complete" });
  expect((await unknown.exited({ timeout: 60_000 })).code).toBe(4);
  expect(unknown.stderr()).toContain("IMAGES_TABLE_UNKNOWN");
  rmSync(file);
  await stream.start();
  expect(await lastSequence()).toBe(before);
}, 120_000);

test("a change of the columns ends the images; rows that are written afterwards have them again", async () => {
  await stream.sql("DELETE FROM wiped; INSERT INTO wiped VALUES (1, 'a'); ALTER TABLE wiped ADD COLUMN c int");
  const before = await lastSequence();
  const updates: unknown[] = [];
  for (const v of ["b", "c", "d"]) {
    await stream.sql(`UPDATE wiped SET v = '${v}'`);
    updates.push((await eventsSince(before)).filter(({ operation }) => operation === "update").at(-1)!.before);
  }
  expect(updates[0]).toBeNull();
  expect(updates[2]).toEqual({ id: 1, v: "c", c: null });
}, 120_000);
