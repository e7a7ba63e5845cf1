// `afterimage verify --against-database` on real servers while writers write: equal tables are proved equal, and every
// difference is found.
import pg from "pg";
import { expect, inject, onTestFinished, test } from "vitest";
import { startPostgres } from "../../dev/servers/servers.ts";
import { canonicalSql, valueToken } from "../../src/verify/canonical.ts";
import { letCommitsWait } from "../support/absent-standby.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { verifyDatabase } from "../support/verify-run.ts";
import { waitFor } from "../support/wait-for.ts";

// Each starts several processes; on a busy machine that takes its time.
async function capture(setup: string, settings: Record<string, string> = {}): Promise<CapturedStream> {
  const stream = await CapturedStream.create(setup, settings);
  onTestFinished(() => stream.drop());
  return stream;
}

test("values of every awkward type are equal, and so are empty tables", async () => {
  const stream = await capture(`
    CREATE TYPE mood AS ENUM ('sad', 'very, "happy"');
    CREATE TYPE pair AS (a int, b text);
    CREATE TABLE public.values (
      id int PRIMARY KEY, f4 real, f8 double precision, n numeric, b boolean, t text, v varchar(9), c char(5),
      j json, jb jsonb, by bytea, ts timestamptz, iv interval, ia int[], ta text[], ip inet, ci cidr, m mood, p pair,
      u uuid, big bigint, x xml, r int4range, o oid, mo money, "char" "char", "odd ""name" text);
    CREATE TABLE public.empty (id int PRIMARY KEY);`);
  const insert = "INSERT INTO public.values";
  await stream.sql(`${insert} VALUES (1, 'NaN', '-0', '1.00', true, '', '', '', '{}', '{}', '', 'infinity', '1 day', '{}', '{}',
    '10.0.0.1', '10.0.0.0/8', 'sad', ROW(NULL, NULL), gen_random_uuid(), 9007199254740993, '<a/>', 'empty', 4294967295, '1.5', 'x', 'y')`);
  await stream.sql(`${insert} (id, f4, f8, n, t, c, ta, p, m, by, ts) VALUES
    (2, 1e-7, 1e-7, 'NaN', 'a,b:~?#' || repeat('ä', 40), 'ab', '{"a,b",NULL,"NULL"}', ROW(1, 'x,'), 'very, "happy"', '\\x00ff', '4714-11-24 BC'),
    (3, 'Infinity', '-Infinity', 1e100, repeat('long ', 50), 'abcde', NULL, NULL, NULL, NULL, '294276-12-31 23:59:59+00'),
    (4, 3.4028235e38, 1.7976931348623157e308, -0.00, '~', '?', NULL, NULL, NULL, NULL, NULL),
    (5, 1.17549435e-38, 5e-324, 131071, repeat('x', 64), NULL, NULL, NULL, NULL, NULL, NULL),
    (6, 0.1, 0.1, 131071, repeat('x', 65), NULL, NULL, NULL, NULL, NULL, NULL)`);
  await stream.sql("UPDATE public.values SET f8 = 'Infinity'::float8 - 'Infinity'::float8 WHERE id = 6");
  await stream.published();
  const run = await verifyDatabase(stream);
  expect(run, run.output).toMatchObject({ code: 0, kinds: [] });
  expect(run.report.database?.tables).toEqual([
    { table: "public.empty", rows: 0, equal: true },
    { table: "public.values", rows: 6, equal: true },
  ]);
});

test("a database in another encoding makes the same tokens", async () => {
  const name = `latin_${Date.now()}`;
  const admin = new pg.Client({ connectionString: inject("postgresUrl") });
  await admin.connect();
  await admin.query(`CREATE DATABASE ${name} ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'`);
  const url = new URL(inject("postgresUrl"));
  url.pathname = `/${name}`;
  const client = new pg.Client({ connectionString: url.href });
  await client.connect();
  onTestFinished(async () => {
    await client.end();
    await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
    await admin.end();
  });
  const values = ["ä", "ä".repeat(32), "ä".repeat(33), "a".repeat(64), "a".repeat(65), ""];
  await client.query("CREATE TABLE t (t text, v name)");
  for (const value of values) await client.query("INSERT INTO t VALUES ($1, left($1, 20))", [value]);
  const columns = [
    { name: "t", oid: 25 },
    { name: "v", oid: 19 },
  ];
  const sql = canonicalSql(columns, [], false);
  const { rows } = await client.query(
    `SELECT ${sql.row} AS row FROM t CROSS JOIN LATERAL (SELECT ${sql.values} OFFSET 0) AS v`,
  );
  expect(rows.map(({ row }) => row)).toEqual(
    values.map((value) => `${valueToken(value, 25)},${valueToken(value.slice(0, 20), 19)}`),
  );
});

const BIG = "(SELECT string_agg(md5(n::text), '') FROM generate_series(1, 200) n)";

/** What one writer does again and again, on rows that others write too. */
const WORK: readonly ((n: number, writer: number) => string)[] = [
  (n) => `INSERT INTO public.t VALUES (${n % 50}, ${n}, ${BIG}) ON CONFLICT (id) DO UPDATE SET n = excluded.n`,
  (n) => `UPDATE public.t SET n = ${n} WHERE id = ${n % 50}`,
  (n, writer) => `UPDATE public.t SET id = ${1000 + ((n * 7 + writer) % 90)} WHERE id = ${n % 50}`,
  (n) => `DELETE FROM public.t WHERE id = ${1000 + (n % 90)}`,
  (n) =>
    `BEGIN; UPDATE public.t SET n = -1; SAVEPOINT s; DELETE FROM public.t; ROLLBACK TO s; UPDATE public.t SET n = ${n} WHERE id < 9; COMMIT`,
  () => "BEGIN; DELETE FROM public.t; TRUNCATE public.whole; ROLLBACK",
  (n, writer) =>
    `INSERT INTO public.log VALUES (${n % 5}, ${writer}); UPDATE public.log SET by = ${writer} WHERE n = ${n % 5}`,
  (n) => `DELETE FROM public.log WHERE n = ${n % 5}`,
  (n) => `INSERT INTO public.whole VALUES (${n % 30}, ${BIG}) ON CONFLICT (a) DO UPDATE SET b = 'short'`,
  (n) => (n % 5 === 0 ? "TRUNCATE public.whole" : `UPDATE public.whole SET a = a + 100 WHERE a = ${n % 30}`),
  (n) =>
    `INSERT INTO "odd ""schema"."a.b" VALUES ('k,${n % 20}', ${n}) ON CONFLICT ("the ""key") DO UPDATE SET "1" = excluded."1"`,
  (n) => `INSERT INTO public.parts VALUES (${n % 40}, ${n}) ON CONFLICT (id) DO UPDATE SET n = excluded.n`,
  (n) =>
    `UPDATE public.parts SET id = (id + 20) % 40 WHERE id = ${n % 40} AND NOT EXISTS (SELECT FROM public.parts o WHERE o.id = ${(n + 20) % 40})`,
];

test("writers, key changes, truncates, large values and partitions: equal at every moment", async () => {
  const stream = await capture(`
    CREATE TABLE public.t (id int PRIMARY KEY, n int, body text);
    ALTER TABLE public.t ALTER body SET STORAGE EXTERNAL;
    CREATE TABLE public.log (n int, by int);
    ALTER TABLE public.log REPLICA IDENTITY FULL;
    CREATE TABLE public.whole (a int PRIMARY KEY, b text);
    ALTER TABLE public.whole REPLICA IDENTITY FULL;
    CREATE SCHEMA "odd ""schema";
    CREATE TABLE "odd ""schema"."a.b" ("the ""key" text PRIMARY KEY, "1" int, "__proto__" text DEFAULT 'p');
    CREATE TABLE public.parts (id int PRIMARY KEY, n int) PARTITION BY RANGE (id);
    CREATE TABLE public.parts_low PARTITION OF public.parts FOR VALUES FROM (0) TO (20);
    CREATE TABLE public.parts_high PARTITION OF public.parts FOR VALUES FROM (20) TO (100);`);
  let writing = true;
  const writers = Array.from({ length: 4 }, async (_, writer) => {
    const client = new pg.Client({ connectionString: stream.database.url });
    await client.connect();
    for (let n = writer; writing; n++) {
      // Deadlocks and keys that are taken: such statements roll back, which belongs to the mix.
      await client.query(WORK[(n * 5 + writer) % WORK.length]!(n, writer)).catch(() => client.query("ROLLBACK"));
    }
    await client.end();
  });
  try {
    for (let time = 0; time < 3; time++) {
      const run = await verifyDatabase(stream);
      expect(run, run.output).toMatchObject({ code: 0, kinds: [], report: { result: "proven" } });
      expect(run.report.database?.tables.map(({ table }) => table).sort()).toEqual(
        [
          '"odd ""schema"."a.b"',
          "public.log",
          "public.parts_high",
          "public.parts_low",
          "public.t",
          "public.whole",
        ].sort(),
      );
    }
  } finally {
    writing = false;
    await Promise.all(writers);
  }
  const run = await verifyDatabase(stream);
  expect(run, run.output).toMatchObject({ code: 0, kinds: [], report: { database: { notYetVisible: 0 } } });
});

test("transactions that are open or prepared at the snapshot, and committed before the stream is there, don't count", async () => {
  const stream = await capture("CREATE TABLE public.t (id int PRIMARY KEY, n int)");
  await stream.sql("INSERT INTO public.t SELECT n, 0 FROM generate_series(1, 100) n");
  await stream.published();
  const [open, prepared] = [await connect(stream.database.url), await connect(stream.database.url)];
  await open.query("BEGIN; UPDATE public.t SET n = 1 WHERE id <= 10");
  const gid = stream.stream;
  await prepared.query(`BEGIN; DELETE FROM public.t WHERE id > 90; PREPARE TRANSACTION '${gid}'`);
  onTestFinished(() =>
    prepared.query(`ROLLBACK PREPARED '${gid}'`).then(
      () => undefined,
      () => undefined,
    ),
  );
  expect(await verifyDatabase(stream)).toMatchObject({
    code: 0,
    kinds: [],
    report: { database: { notYetVisible: 0 } },
  });
  // The daemon stands still, so that the commits come after the snapshot and before the stream is at its position.
  stream.daemon.child.kill("SIGSTOP");
  const running = verifyDatabase(stream);
  await waitFor(async () => (await locksOf(stream)) > 0, { what: "the snapshot to be taken" });
  await open.query("COMMIT");
  await prepared.query(`COMMIT PREPARED '${gid}'`);
  stream.daemon.child.kill("SIGCONT");
  const run = await running;
  expect(run, run.output).toMatchObject({ code: 0, kinds: [] });
  expect(run.report.database?.tables).toEqual([{ table: "public.t", rows: 100, equal: true }]);
});

/** Whether a verification holds its tables. */
async function locksOf(stream: CapturedStream): Promise<number> {
  const { rows } = await stream.sql(
    `SELECT count(*)::int AS held FROM pg_stat_activity a JOIN pg_locks l USING (pid)
      WHERE a.datname = current_database() AND a.application_name LIKE 'afterimage%' AND a.backend_xmin IS NOT NULL
        AND l.relation = 'public.t'::regclass AND l.granted`,
  );
  return Number(rows[0]!.held);
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => undefined); // the database is dropped under it
  await client.connect();
  onTestFinished(() => client.end());
  return client;
}

test("a commit that waits for a synchronous standby is published, but the tables don't show it yet", async () => {
  const server = await startPostgres();
  onTestFinished(() => server.remove());
  const stream = await CapturedStream.create(
    "CREATE TABLE public.t (id int PRIMARY KEY, n int); ALTER DATABASE postgres SET synchronous_commit = local",
    {},
    { postgresUrl: server.address, brokers: inject("brokers") },
  );
  onTestFinished(() => stream.drop());
  await stream.sql("SET synchronous_commit = local; INSERT INTO public.t SELECT n, 0 FROM generate_series(1, 10) n");
  await stream.published();
  const waiting = await connect(stream.database.url);
  await letCommitsWait(stream.database.url);
  const hanging = waiting.query("UPDATE public.t SET n = 1 WHERE id = 1").catch(() => undefined);
  await waitFor(async () => (await stream.stored()).some(({ event }) => event.operation === "update"), {
    what: "the update in Kafka",
  });
  await stream.sql("UPDATE public.t SET n = 2 WHERE id = 2");
  const run = await verifyDatabase(stream);
  expect(run, run.output).toMatchObject({ code: 0, kinds: [], report: { database: { notYetVisible: 1 } } });
  await stream.sql("ALTER SYSTEM RESET synchronous_standby_names");
  await stream.sql("SELECT pg_reload_conf()");
  await hanging;
  expect(await verifyDatabase(stream)).toMatchObject({
    code: 0,
    kinds: [],
    report: { database: { notYetVisible: 0 } },
  });
});
