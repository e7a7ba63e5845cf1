// From committed rows to committed events: every kind of change, with the images Postgres holds.
import { readFileSync } from "node:fs";
import pg from "pg";
import { afterEach, describe, expect, inject, test } from "vitest";
import { CapturedStream } from "../support/captured-stream.ts";
import { readTopic } from "../support/topics.ts";

let stream: CapturedStream;
afterEach(() => stream.drop());

const summary = (events: Awaited<ReturnType<CapturedStream["events"]>>) =>
  events.map(({ operation, key, sequence, transaction }) => ({
    operation,
    key,
    sequence,
    index: transaction.index,
    last: transaction.last === true,
  }));

describe("transactions", () => {
  test("two adjacent small commits, a rollback and a savepoint: only what is committed, in order", async () => {
    stream = await CapturedStream.create("CREATE TABLE t (id int PRIMARY KEY)");
    await stream.sql("INSERT INTO t VALUES (1)");
    await stream.sql("INSERT INTO t VALUES (2)");
    await stream.sql("BEGIN; INSERT INTO t VALUES (3); ROLLBACK");
    await stream.sql("BEGIN; INSERT INTO t VALUES (4); SAVEPOINT s; INSERT INTO t VALUES (5); ROLLBACK TO s; COMMIT");
    expect(summary(await stream.events())).toEqual([
      { operation: "insert", key: { id: 1 }, sequence: 1, index: 1, last: true },
      { operation: "insert", key: { id: 2 }, sequence: 2, index: 1, last: true },
      { operation: "insert", key: { id: 4 }, sequence: 3, index: 1, last: true },
    ]);
  });

  test("interleaved transactions come in commit order", async () => {
    stream = await CapturedStream.create("CREATE TABLE t (id int PRIMARY KEY)");
    const other = new pg.Client({ connectionString: stream.database.url });
    await other.connect();
    await other.query("BEGIN");
    await other.query("INSERT INTO t VALUES (1)");
    await stream.sql("BEGIN");
    await stream.sql("INSERT INTO t VALUES (2)");
    await other.query("INSERT INTO t VALUES (3)");
    await stream.sql("COMMIT");
    await other.query("COMMIT");
    await other.end();
    expect(summary(await stream.events()).map(({ key, index, last }) => ({ key, index, last }))).toEqual([
      { key: { id: 2 }, index: 1, last: true },
      { key: { id: 1 }, index: 1, last: false },
      { key: { id: 3 }, index: 2, last: true },
    ]);
  });

  test("a COPY of 1,000 rows shares one LSN and every row has its own index", async () => {
    stream = await CapturedStream.create("CREATE TABLE t (id int PRIMARY KEY)");
    await stream.sql("COPY t FROM PROGRAM 'seq 1 1000'");
    const events = await stream.events();
    expect(events.map(({ transaction }) => transaction.index)).toEqual(Array.from({ length: 1000 }, (_, i) => i + 1));
    expect(new Set(events.map(({ transaction }) => transaction.lsn)).size).toBe(1);
    expect(events.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 1000 }, (_, i) => i + 1));
  });

  test("a transaction of 200,000 rows is published in pieces, in less than 300 MB", async () => {
    stream = await CapturedStream.create("CREATE TABLE t (id int PRIMARY KEY, note text)");
    await stream.sql("INSERT INTO t SELECT g, repeat('x', 100) FROM generate_series(1, 200000) g");
    const progress = await stream.published();
    expect(progress.sequence).toBe(200_000);
    expect(progress.last).toMatchObject({ index: 200_000, complete: true });
    const records = await readTopic(inject("brokers"), `${stream.stream}.progress`);
    expect(records.filter(({ value }) => value?.includes('"complete":false')).length).toBeGreaterThan(2);
    const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${stream.daemon.pid}/status`, "utf8"));
    expect(Number(peak![1])).toBeLessThan(300 * 1024);
    const sequences = (await stream.stored()).map(({ event }) => event.sequence);
    expect(sequences.length).toBe(200_000);
    expect(sequences.every((sequence, place) => sequence === place + 1)).toBe(true);
  });
});

describe("row images", () => {
  test("a key change is a delete and an insert in one transaction", async () => {
    stream = await CapturedStream.create("CREATE TABLE t (id int PRIMARY KEY, name text)");
    await stream.sql("INSERT INTO t VALUES (1, 'a')");
    await stream.sql("UPDATE t SET id = 2");
    const [, gone, come] = await stream.events();
    expect(gone).toMatchObject({ operation: "delete", key: { id: 1 }, before: { id: 1 }, after: null });
    expect(gone).toHaveProperty("nextKey", { id: 2 });
    expect(come).toMatchObject({ operation: "insert", key: { id: 2 }, before: null, after: { id: 2, name: "a" } });
    expect(come).toHaveProperty("previousKey", { id: 1 });
    expect(come!.transaction).toMatchObject({ id: gone!.transaction.id, index: 2, last: true });
  });

  test("an unchanged TOAST value is named, not sent and not null; under FULL it is filled from the old row", async () => {
    stream = await CapturedStream.create(
      `CREATE TABLE d (id int PRIMARY KEY, price numeric, body text);
       CREATE TABLE f (id int PRIMARY KEY, price numeric, body text);
       ALTER TABLE d ALTER body SET STORAGE EXTERNAL; ALTER TABLE f ALTER body SET STORAGE EXTERNAL;
       ALTER TABLE f REPLICA IDENTITY FULL`,
    );
    const body = "0123456789".repeat(2_000);
    await stream.sql("INSERT INTO d VALUES (1, 1.50, $1)", [body]);
    await stream.sql("INSERT INTO f VALUES (1, 1.50, $1)", [body]);
    await stream.sql("UPDATE d SET price = 2.50");
    await stream.sql("UPDATE f SET price = 2.50");
    await stream.sql("UPDATE d SET id = 2");
    const events = await stream.events();
    expect(events[2]).toMatchObject({ operation: "update", before: null, unchanged: ["body"] });
    expect(events[2]!.after).toEqual({ id: 1, price: "2.50" });
    expect(events[3]!.before).toEqual({ id: 1, price: "1.50", body });
    expect(events[3]!.after).toEqual({ id: 1, price: "2.50", body });
    expect(events[3]).not.toHaveProperty("unchanged");
    expect(events[4]).toMatchObject({ operation: "delete", nextKey: { id: 2 }, unchanged: ["body"] });
    expect(events[5]).toMatchObject({ operation: "insert", previousKey: { id: 1 }, unchanged: ["body"] });
    expect(events[5]!.sequence).toBe(events[4]!.sequence + 1);
  });

  test("FULL without a primary key has no key and keeps its order; with one, the key is the primary key", async () => {
    stream = await CapturedStream.create(
      `CREATE TABLE keyless (a int, b text); ALTER TABLE keyless REPLICA IDENTITY FULL;
       CREATE TABLE keyed (b text, a int, PRIMARY KEY (a, b)); ALTER TABLE keyed REPLICA IDENTITY FULL`,
    );
    await stream.sql("INSERT INTO keyless VALUES (1, 'x'), (1, 'x'); UPDATE keyless SET a = 2; DELETE FROM keyless");
    await stream.sql("INSERT INTO keyed VALUES ('x', 1); UPDATE keyed SET b = 'y'; DELETE FROM keyed");
    const events = await stream.events();
    expect(events.filter(({ table }) => table === "public.keyless").map(({ operation }) => operation)).toEqual(
      "insert insert update update delete delete".split(" "),
    );
    const stored = await stream.stored();
    const keyless = stored.filter(({ topic }) => topic.endsWith("keyless"));
    expect(new Set(keyless.map(({ partition }) => partition)).size).toBe(1);
    expect(keyless.every(({ key, event }) => key === null && event.key === null)).toBe(true);
    const keyed = stored.filter(({ topic }) => topic.endsWith("keyed"));
    expect(keyed.map(({ key }) => key)).toEqual([
      '{"a":"1","b":"x"}',
      '{"a":"1","b":"x"}',
      '{"a":"1","b":"y"}',
      '{"a":"1","b":"y"}',
    ]);
    expect(keyed[3]!.event.before).toEqual({ b: "y", a: 1 });
  });

  test("TRUNCATE of several tables is one event a table, copied to every partition", async () => {
    stream = await CapturedStream.create(
      "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY REFERENCES a)",
    );
    await stream.sql("INSERT INTO a VALUES (1); INSERT INTO b VALUES (1)");
    await stream.sql("TRUNCATE a CASCADE");
    const events = await stream.events();
    expect(events.slice(2).map(({ operation, table, sequence }) => ({ operation, table, sequence }))).toEqual([
      { operation: "truncate", table: "public.a", sequence: 3 },
      { operation: "truncate", table: "public.b", sequence: 4 },
    ]);
    const copies = (await stream.stored()).filter(({ event }) => event.sequence === 3);
    expect(copies.map(({ partition }) => partition).sort()).toEqual([0, 1, 2, 3]);
    expect(new Set(copies.map(({ value }) => value)).size).toBe(1);
  });

  test("names with dots, quotes, capitals, digits and traps for JavaScript", async () => {
    stream = await CapturedStream.create(
      `CREATE SCHEMA "a.b";
       CREATE TABLE "a.b"."Ünïcode ""quoted""" ("1" int PRIMARY KEY, "__proto__" text, "0" text, "constructor" int)`,
    );
    await stream.sql(`INSERT INTO "a.b"."Ünïcode ""quoted""" VALUES (7, 'p', 'zero', 1)`);
    const [event] = await stream.events();
    expect(event!.table).toBe('"a.b"."Ünïcode ""quoted"""');
    const [record] = await stream.stored();
    expect(record!.topic).toBe(`${stream.stream}.a-2Eb.-C3-9Cn-C3-AFcode-20-22quoted-22`);
    expect(record!.value).toContain('"after":{"1":7,"__proto__":"p","0":"zero","constructor":1}');
  });

  test("values are Postgres's text, whatever the database's settings", async () => {
    stream = await CapturedStream.create(
      `CREATE TABLE v (id int PRIMARY KEY, b bool, i8 int8, n numeric, f float8, g float8, d date, ts timestamptz, j json, by bytea, a int[], m money, r regclass);
       DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET datestyle = ''German''', current_database());
       EXECUTE format('ALTER DATABASE %I SET bytea_output = ''escape''', current_database());
       EXECUTE format('ALTER DATABASE %I SET quote_all_identifiers = on', current_database());
       EXECUTE format('ALTER DATABASE %I SET extra_float_digits = 0', current_database()); END $$`,
    );
    await stream.sql(
      `INSERT INTO v VALUES (1, true, 9007199254740993, 'NaN', 0.1::float8 + 0.2::float8, '-Infinity', 'infinity', '2026-11-22 18:00:00.123456+01',
       '{"a": 1, "a": 2}', '\\x00ff', '{{1,NULL},{3,4}}', 12.5, 'pg_class'), (2, null, null, null, '-0', 'NaN', null, null, null, null, null, null, null)`,
    );
    const [row, other] = await stream.events();
    expect(row!.after).toEqual({
      id: 1,
      b: true,
      i8: "9007199254740993",
      n: "NaN",
      f: 0.30000000000000004,
      g: "-Infinity",
      d: "infinity",
      ts: "2026-11-22 17:00:00.123456+00",
      j: '{"a": 1, "a": 2}',
      by: "\\x00ff",
      a: "{{1,NULL},{3,4}}",
      m: "$12.50",
      r: "pg_class",
    });
    expect(other!.after).toMatchObject({ b: null, f: -0, g: "NaN" });
  });
});
