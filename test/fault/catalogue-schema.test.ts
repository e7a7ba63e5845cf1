// Schemas that change inside transactions, types that are new, and the values that others get wrong: each event as the row
// was when it was written, each value as Postgres prints it.
import { afterEach, expect, test } from "vitest";
import { CapturedStream } from "../support/captured-stream.ts";

let stream: CapturedStream;
afterEach(() => stream.drop());

test("columns added, renamed and dropped between the rows of one transaction, which is published twice in part", async () => {
  stream = await CapturedStream.create("CREATE TABLE t (id int PRIMARY KEY, a text)", {
    AFTERIMAGE_BATCH_MAX_BYTES: "64KiB",
  });
  await stream.daemon.kill();
  await stream.sql("BEGIN; INSERT INTO t VALUES (1, 'one')");
  await stream.sql("ALTER TABLE t ADD b int DEFAULT 5; UPDATE t SET a = 'two'");
  await stream.sql("INSERT INTO t SELECT g, repeat('x', 1000), g FROM generate_series(100, 400) g");
  await stream.sql("ALTER TABLE t RENAME a TO c; INSERT INTO t VALUES (2, 'three', 6)");
  await stream.sql("ALTER TABLE t DROP b; INSERT INTO t VALUES (3, 'four'); COMMIT");
  await stream.sql("ALTER TABLE t ADD a bool; INSERT INTO t VALUES (4, 'five', true)");
  const first = stream.spawn();
  await first.says('"state":"streaming"');
  await first.kill();
  await stream.start();
  const events = await stream.events();
  expect(events.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 306 }, (_, at) => at + 1));
  expect(events.filter(({ key }) => Number(key?.id) < 100).map(({ after }) => after)).toEqual([
    { id: 1, a: "one" },
    { id: 1, a: "two", b: 5 },
    { id: 2, c: "three", b: 6 },
    { id: 3, c: "four" },
    { id: 4, c: "five", a: true },
  ]);
});

test("an enum's new value and a type made a moment ago are used at once", async () => {
  stream = await CapturedStream.create(
    "CREATE TYPE mood AS ENUM ('calm'); CREATE TABLE t (id int PRIMARY KEY, m mood)",
  );
  await stream.sql("ALTER TYPE mood ADD VALUE 'new'");
  await stream.sql("INSERT INTO t VALUES (1, 'new')");
  await stream.sql("CREATE TYPE pair AS (x int, y text)");
  await stream.sql("ALTER TABLE t ADD p pair");
  await stream.sql(`INSERT INTO t VALUES (2, 'calm', ROW(1, 'q"'))`);
  expect((await stream.events()).map(({ after }) => after)).toEqual([
    { id: 1, m: "new" },
    { id: 2, m: "calm", p: '(1,"q""")' },
  ]);
});

test("two tables that swap their names: TABLE_RENAMED, and no row goes to the other's topic", async () => {
  stream = await CapturedStream.create("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)");
  await stream.sql("INSERT INTO a VALUES (1); INSERT INTO b VALUES (2)");
  await stream.published();
  await stream.sql("BEGIN; ALTER TABLE a RENAME TO c; ALTER TABLE b RENAME TO a; ALTER TABLE c RENAME TO b; COMMIT");
  await stream.sql("INSERT INTO a VALUES (3)");
  expect(await stream.daemon.exited({ timeout: 30_000 })).toMatchObject({ code: 4 });
  expect(stream.daemon.output()).toContain('"code":"TABLE_RENAMED"');
  expect((await stream.stored()).map(({ topic, event }) => [topic.slice(-1), event.key])).toEqual([
    ["a", { id: 1 }],
    ["b", { id: 2 }],
  ]);
});

/** Type, and a literal of it. */
const VALUES: readonly [type: string, literal: string][] = [
  ["numeric", "repeat('9', 131072)::numeric"],
  ["numeric", "('0.' || repeat('0', 16382) || '1')::numeric"],
  ["numeric", "'NaN'"],
  ["numeric", "'-Infinity'"],
  ["int8", "9007199254740993"],
  ["int8", "-9223372036854775808"],
  ["jsonb", "'1e131071'"],
  ["jsonb", `'{"b": 1.10, "a": "\\u00e9"}'`],
  ["json", `'{"a": "\\u0000", "a": "\\ud800", "n": 12345678901234567890}'`],
  ["date", "'infinity'"],
  ["date", "'4714-11-24 BC'"],
  ["date", "'5874897-12-31'"],
  ["timestamp", "'294276-12-31 23:59:59.999999'"],
  ["timestamptz", "'-infinity'"],
  ["timestamptz", "'0044-03-15 12:00:00+00 BC'"],
  ["time", "'24:00:00'"],
  ["timetz", "'23:59:60+15:59'"],
  ["interval", "'178000000 years'"],
  ["interval", "'-1 mon +2 days -03:04:05.000006'"],
  ['"char"', `'\\200'`],
  ["char(5)", "'a'"],
  ["text", "'NULL'"],
  ["text", "E'\\u2028 \\\\ \" \\n \\t \\x7f'"],
  ["text", "'\u{1f600} é \uffff'"],
  ["bytea", `'\\x00ff5c'`],
  ["int[]", "'[-1:0][5:6]={{1,2},{3,4}}'"],
  ["text[]", `ARRAY['NULL', NULL, 'a,b', '"', '', '{}']`],
  ["bit varying", "B'10101'"],
  ["inet", "'::ffff:1.2.3.4/128'"],
  ["tsvector", "$$'a':1A 'b c':2$$"],
  ["int4multirange", "'{[1,3),[5,)}'"],
  ["xml", "'<a>&amp;</a>'"],
  ["point", "'(0.1,-0)'"],
];

test("values at the ends of their types are the text that an independent session reads", async () => {
  const columns = VALUES.map(([type], at) => `c${at} ${type}`).join(", ");
  stream = await CapturedStream.create(
    `CREATE TABLE v (id int PRIMARY KEY, f float8, ${columns});
     CREATE TYPE mood AS ENUM ('a b'); CREATE DOMAIN strict AS mood CHECK (VALUE IS NOT NULL);
     CREATE TYPE pair AS (x int, y text); CREATE TABLE n (id int PRIMARY KEY, m strict, p pair[])`,
  );
  await stream.sql(`INSERT INTO v VALUES (1, '-0', ${VALUES.map(([, literal]) => literal).join(", ")})`);
  await stream.sql(`INSERT INTO n VALUES (1, 'a b', ARRAY[ROW(1, 'a,"b'), ROW(NULL, '')]::pair[])`);
  const [values, nested] = await stream.events();
  await stream.sql("SET datestyle = 'ISO, DMY'; SET timezone = 'UTC'; SET extra_float_digits = 3");
  // `"char"` and char(n) lose bytes or blanks in a cast to text: a format prints them as they are.
  const texts = VALUES.map((_, at) => `format('%s', c${at}) AS c${at}`).join(", ");
  const { rows } = await stream.sql(`SELECT ${texts} FROM v`);
  const { id, f, ...rest } = values!.after as Record<string, unknown>;
  expect([id, Object.is(f, -0)]).toEqual([1, true]);
  expect(rest).toEqual(rows[0]);
  expect(nested!.after).toEqual({ id: 1, m: "a b", p: '{"(1,\\"a,\\"\\"b\\")","(,\\"\\")"}' });
});
