// Rows that were there before the stream are read while it goes on, and what is published comes to the tables.
import pg from "pg";
import { afterEach, expect, test } from "vitest";
import { readTopic } from "../../dev/servers/topics.ts";
import { parseProgress } from "../../src/event/progress.ts";
import { requestSnapshot } from "../support/admin.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { verifyDatabase } from "../support/verify-run.ts";
import { waitFor } from "../support/wait-for.ts";

const SETTINGS = { AFTERIMAGE_SNAPSHOT: "initial" };

let stream: CapturedStream;
afterEach(() => stream.drop());

const snapshotOver = () =>
  waitFor(async () => (await stream.progress())?.snapshot.length === 0, {
    what: "the end of the snapshot",
  });

/** The whole stream is proved, and folded equal to the tables as a whole. */
async function expectEqual(): Promise<void> {
  await stream.published();
  const { code, kinds, output } = await verifyDatabase(stream);
  expect({ code, kinds }, output).toEqual({ code: 0, kinds: [] });
}

test("a table with rows is opened by a gap, read in the order of its key, and ended by a sweep", async () => {
  stream = await CapturedStream.create(
    `CREATE TABLE t (id int PRIMARY KEY, v text);
     INSERT INTO t SELECT g, 'row ' || g FROM generate_series(1, 5000) g;
     CREATE TABLE empty (id int PRIMARY KEY)`,
    SETTINGS,
  );
  await snapshotOver();
  const events = await stream.events();
  expect(events.map(({ operation }) => operation)).toEqual(["gap", ...Array(5000).fill("read"), "sweep"]);
  expect(events.map(({ sequence }) => sequence)).toEqual(events.map((_, at) => at + 1));
  expect(events[1]).toMatchObject({
    table: "public.t",
    key: { id: 1 },
    before: null,
    after: { id: 1, v: "row 1" },
    transaction: { id: null, epoch: 1, index: 0 },
  });
  expect(events.at(-1)).toMatchObject({ operation: "sweep", table: "public.t", since: 1 });
  await expectEqual();
});

test("a table is cut up into ranges of its keys, whatever they are, when connections have nothing else to read", async () => {
  stream = await CapturedStream.create(
    `CREATE TYPE mood AS ENUM ('sad', 'ok', 'glad');
     CREATE TABLE pair (a mood, b float8, c text COLLATE "sv-x-icu", pad text, PRIMARY KEY (a, b, c));
     INSERT INTO pair SELECT m, f, c || chr(39) || g, repeat(md5(c), 30) FROM generate_series(1, 20) g,
       unnest(enum_range(NULL::mood)) m, unnest('{NaN,Infinity,-Infinity,-0,0.1,1e-300,1e300}'::float8[]) f,
       unnest(ARRAY['a','B','å','ä','ö','z','Z','é','','I','ı','\\']) c`,
    { ...SETTINGS, AFTERIMAGE_BATCH_MAX_BYTES: "64KiB", AFTERIMAGE_SNAPSHOT_CONNECTIONS: "4" },
  );
  await snapshotOver();
  const records = await readTopic([...stream.brokers], `${stream.stream}.progress`);
  const left = records.flatMap(({ value }) => parseProgress(value ?? "").snapshot.map(({ ranges }) => ranges.length));
  expect(Math.max(...left)).toBeGreaterThan(1);
  expect(Math.max(...left)).toBeLessThanOrEqual(4);
  const reads = (await stream.events()).filter(({ operation }) => operation === "read");
  expect(reads).toHaveLength(20 * 3 * 7 * 12);
  expect(new Set(reads.map(({ key }) => JSON.stringify(key))).size).toBe(reads.length);
  await expectEqual();
});

/** In the order of the stream each old image is the last new one of its row: nothing older comes after something newer. */
async function expectChained(table: string): Promise<void> {
  const rows = new Map<string, string>();
  for (const { event, key } of await stream.stored()) {
    if (event.table === table && event.key !== null) {
      const before = event.before === null ? undefined : JSON.stringify(event.before);
      const known = rows.get(key!);
      expect([event.sequence, before ?? known]).toEqual([event.sequence, known ?? before]);
      rows.set(key!, event.after === null ? "deleted" : JSON.stringify(event.after));
    }
  }
}

test("under writes that insert, change, re-key, delete and truncate, on several tables with odd keys", async () => {
  stream = await CapturedStream.prepare(
    `CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
     CREATE TYPE mood AS ENUM ('sad', 'ok', 'glad');
     CREATE TABLE plain (id int PRIMARY KEY, v text, body text);
     ALTER TABLE plain ALTER body SET STORAGE EXTERNAL;
     CREATE TABLE pair (a mood, b float8, c text COLLATE "sv-x-icu", v int, pad text, PRIMARY KEY (a, b, c));
     CREATE TABLE words (w text COLLATE nocase PRIMARY KEY, v int);
     CREATE TABLE wiped (id numeric PRIMARY KEY, v text);
     CREATE TABLE chain (id int PRIMARY KEY, v int, pad text);
     ALTER TABLE chain REPLICA IDENTITY FULL;
     INSERT INTO chain SELECT g, 0, repeat('p', 100) FROM generate_series(1, 2500) g;
     INSERT INTO plain SELECT g, 'v' || g, repeat(md5(g::text), 80) FROM generate_series(1, 2500) g;
     INSERT INTO pair SELECT m, f, c, 0, repeat('p', 2000) FROM unnest(enum_range(NULL::mood)) m,
       unnest('{NaN,Infinity,-Infinity,-0,0.1,1e-300,1e300}'::float8[]) f,
       unnest('{a,B,å,ä,ö,z,Z,é,"",I,ı}'::text[]) c;
     INSERT INTO words SELECT chr(97 + g % 26) || g, g FROM generate_series(1, 3000) g;
     INSERT INTO wiped SELECT g + 0.50, 'x' FROM generate_series(1, 3000) g`,
    { ...SETTINGS, AFTERIMAGE_BATCH_MAX_BYTES: "64KiB" },
  );
  await stream.start();
  const writer = new pg.Client({ connectionString: stream.database.url });
  await writer.connect();
  try {
    for (let round = 1; (await stream.progress())?.snapshot.length !== 0 || round < 40; round++) {
      const id = (round * 1657) % 2500;
      await writer.query(
        `BEGIN;
         UPDATE plain SET v = 'changed ${round}' WHERE id % 97 = ${round % 97};
         UPDATE plain SET id = -id WHERE id = ${id};
         UPDATE plain SET id = id + 100000, v = 'moved' WHERE id = ${(id + 17) % 2500};
         DELETE FROM plain WHERE id = ${(id + 31) % 2500};
         INSERT INTO plain VALUES (${10_000 + round}, 'new', NULL);
         UPDATE pair SET v = v + 1 WHERE c IN ('ö', 'I', '');
         UPDATE pair SET c = c || '${round}' WHERE a = 'ok' AND b = 'NaN' AND c LIKE 'a%';
         UPDATE chain SET v = v + 1 WHERE id % 50 = ${round % 50};
         UPDATE words SET w = upper(w) WHERE v % 13 = ${round % 13};
         DELETE FROM words WHERE v = ${round};
         UPDATE wiped SET id = id + 0.25 WHERE id % 7 = ${round % 7}.50;
         ${round % 15 === 3 ? `TRUNCATE wiped; INSERT INTO wiped SELECT g, 'after' FROM generate_series(1, 500) g;` : ""}
         ${round % 4 === 1 ? "ROLLBACK" : "COMMIT"}`,
      );
    }
  } finally {
    await writer.end();
  }
  await snapshotOver();
  await expectEqual();
  await expectChained("public.chain");
});

test("rows that the stream is still on its way to do not stand before the changes that made them", async () => {
  stream = await CapturedStream.create(
    `CREATE TABLE chain (id int PRIMARY KEY, v int);
     ALTER TABLE chain REPLICA IDENTITY FULL;
     CREATE TABLE large (id int PRIMARY KEY, v text);
     INSERT INTO chain VALUES (1, 0)`,
    { AFTERIMAGE_SNAPSHOT: "never" },
  );
  // It takes the stream a while to be through with this, and the chunk is read meanwhile.
  await stream.sql("INSERT INTO large SELECT g, repeat('x', 200) FROM generate_series(1, 50000) g");
  for (let change = 0; change < 5; change++) {
    await stream.sql("UPDATE chain SET v = v + 1");
  }
  expect(await requestSnapshot(stream.daemon, "public.chain")).toBeNull();
  await snapshotOver();
  await stream.published();
  await expectChained("public.chain");
  expect((await stream.stored()).filter(({ event }) => event.operation === "sweep")).not.toEqual([]);
}, 120_000);

test("values are what the stream prints of them", async () => {
  stream = await CapturedStream.create(
    `CREATE TABLE t (id int PRIMARY KEY, b bool, c char(5), i inet, f float4, ts timestamptz, by bytea, j jsonb, a text[], n numeric, iv interval, m money);
     INSERT INTO t VALUES (1, true, 'x', '10.0.0.1/32', 0.1, '2020-01-01 12:00:00.123456+02', '\\x00ff', '{"a": 1e400}', '{a,NULL,"b c"}', '1.10', '1 day 02:00', 12.5),
       (2, NULL, NULL, NULL, 'NaN', 'infinity', NULL, NULL, NULL, 'NaN', NULL, NULL)`,
    SETTINGS,
  );
  await snapshotOver();
  await stream.sql("UPDATE t SET id = id");
  await stream.published();
  const after = (operation: string) =>
    stream
      .stored()
      .then((all) => all.filter(({ event }) => event.operation === operation).map(({ event }) => event.after));
  expect(await after("read")).toEqual(await after("update"));
});
