// `afterimage verify --against-database` where tables and stream differ, or can't be compared: each is found and named,
// and no value of a row is shown unless it was asked for.
import { expect, onTestFinished, test } from "vitest";
import { CapturedStream } from "../support/captured-stream.ts";
import { createDatabase } from "../support/database.ts";
import { runVerify, type VerifyRun, verifyDatabase } from "../support/verify-run.ts";

// Each starts a daemon and several processes; on a busy machine that takes its time.
async function capture(setup: string, settings: Record<string, string> = {}): Promise<CapturedStream> {
  const stream = await CapturedStream.create(setup, settings);
  onTestFinished(() => stream.drop());
  return stream;
}

/** Writes what the publication leaves out just then, so that no event tells of it; the operator lets the stream go on. */
async function unpublished(stream: CapturedStream, sql: string): Promise<void> {
  const publication = `afterimage_${stream.stream}`;
  await stream.daemon.kill("SIGTERM");
  await stream.sql(`ALTER PUBLICATION ${publication} SET (publish = '')`);
  await stream.sql(sql);
  await stream.sql(`ALTER PUBLICATION ${publication} SET (publish = 'insert, update, delete, truncate')`);
  const { rows } = await stream.sql("SELECT xmin::text FROM pg_publication WHERE pubname = $1", [publication]);
  await stream.start({ AFTERIMAGE_POSTGRES_ACCEPT_PUBLICATION_XMIN: String(rows[0]!.xmin) });
}

const found = ({ report }: VerifyRun, kind: string) => report.findings.filter((finding) => finding.kind === kind);

const SHOP = "CREATE TABLE public.t (id int PRIMARY KEY, name text, price numeric)";
const ROWS = "INSERT INTO public.t SELECT n, 'secret ' || n, n FROM generate_series(1, 500) n";

test("a changed, a lost and an added row are found among many; values are shown only on demand", async () => {
  const stream = await capture(SHOP);
  await stream.sql(ROWS);
  await unpublished(
    stream,
    `UPDATE public.t SET name = 'forged', price = 0 WHERE id = 77;
     DELETE FROM public.t WHERE id = 78;
     INSERT INTO public.t VALUES (7777, 'new', 1)`,
  );
  await stream.published();
  const run = await verifyDatabase(stream);
  expect(run.kinds.sort(), run.output).toEqual(["ROWS_UNSEEN", "ROW_DIFFERS", "ROW_NOT_IN_DATABASE"]);
  expect(run.code).toBe(1);
  const events = await stream.stored();
  const placeOf = (id: number) => {
    const { topic, partition, offset, event } = events.findLast((each) => each.event.key?.id === id)!;
    return { table: "public.t", topic, partition, offset: String(offset), sequence: event.sequence };
  };
  expect(found(run, "ROW_DIFFERS")).toEqual([
    { ...placeOf(77), kind: "ROW_DIFFERS", severity: "wrong", what: expect.any(String), columns: ["name", "price"] },
  ]);
  expect(found(run, "ROW_NOT_IN_DATABASE")).toMatchObject([placeOf(78)]);
  expect(run.output).not.toMatch(/forged|secret|7777/);
  expect(run.output).not.toContain('"key"');
  const shown = await verifyDatabase(stream, ["--show-keys"]);
  expect(found(shown, "ROW_DIFFERS")).toMatchObject([{ key: '{"id":"77"}' }]);
  expect(shown.output).not.toMatch(/forged|secret/);
  expect((await verifyDatabase(stream, ["--ignore-unseen"])).code).toBe(1);
});

test("what was deleted or truncated in the stream must be gone from the table", async () => {
  const stream = await capture(`${SHOP}; CREATE TABLE public.u (id int PRIMARY KEY)`);
  await stream.sql(ROWS);
  await stream.sql("DELETE FROM public.t WHERE id = 5; INSERT INTO public.u VALUES (1); TRUNCATE public.u");
  await unpublished(stream, "INSERT INTO public.t VALUES (5, 'back', 1); INSERT INTO public.u VALUES (1), (2)");
  await stream.published();
  const run = await verifyDatabase(stream, ["--ignore-unseen"]);
  expect(run, run.output).toMatchObject({ code: 1, kinds: ["ROW_NOT_IN_STREAM"] });
  expect(
    found(run, "ROW_NOT_IN_STREAM")
      .map(({ table }) => table)
      .sort(),
  ).toEqual(["public.t", "public.u", "public.u"]);
});

test("a keyless table is a multiset: one copy more or fewer is found", async () => {
  const stream = await capture(
    `CREATE TABLE public.log (n int, by text); ALTER TABLE public.log REPLICA IDENTITY FULL;
     CREATE TABLE public.more (n int); ALTER TABLE public.more REPLICA IDENTITY FULL`,
  );
  await stream.sql("INSERT INTO public.log SELECT n % 3, 'x' FROM generate_series(1, 9) n; TRUNCATE public.more");
  await stream.sql("INSERT INTO public.more VALUES (1), (1)");
  expect(await verifyDatabase(stream)).toMatchObject({ code: 0, kinds: [] });
  const one = "ctid = (SELECT min(ctid) FROM public.log WHERE n = 1)";
  await unpublished(stream, `DELETE FROM public.log WHERE ${one}; INSERT INTO public.more VALUES (1)`);
  await stream.published();
  const run = await verifyDatabase(stream);
  expect(run, run.output).toMatchObject({ code: 1, kinds: ["ROW_NOT_IN_DATABASE", "ROW_NOT_IN_STREAM"] });
});

test("rows and values that are older than the stream are told apart from wrong ones", async () => {
  const big = "(SELECT string_agg(md5(n::text), '') FROM generate_series(1, 200) n)";
  const stream = await capture(
    `CREATE TABLE public.old (id int PRIMARY KEY, n int, body text);
     ALTER TABLE public.old ALTER body SET STORAGE EXTERNAL;
     INSERT INTO public.old SELECT n, 0, ${big} FROM generate_series(1, 40) n;
     CREATE TABLE public.bare (n int); ALTER TABLE public.bare REPLICA IDENTITY FULL;
     INSERT INTO public.bare SELECT n % 2 FROM generate_series(1, 10) n`,
  );
  await stream.sql("UPDATE public.old SET n = 1 WHERE id <= 10; DELETE FROM public.old WHERE id > 30");
  await stream.sql("UPDATE public.old SET id = id + 1000 WHERE id <= 3");
  await stream.sql("DELETE FROM public.bare WHERE n = 0; INSERT INTO public.bare VALUES (7)");
  await stream.published();
  const run = await verifyDatabase(stream);
  expect(run, run.output).toMatchObject({ code: 1, kinds: ["ROWS_UNSEEN", "VALUES_UNSEEN"] });
  expect(run.report.findings.map(({ what }) => what)).toEqual([
    expect.stringMatching(/^5 rows of public\.bare /),
    expect.stringMatching(/^20 rows of public\.old /),
    expect.stringMatching(/^10 rows of public\.old /),
  ]);
  const ignored = await verifyDatabase(stream, ["--ignore-unseen"]);
  expect(ignored, ignored.output).toMatchObject({ code: 0, report: { result: "proven" } });
  await unpublished(stream, "UPDATE public.old SET n = 2 WHERE id = 5");
  await stream.published();
  expect((await verifyDatabase(stream, ["--ignore-unseen"])).kinds).toContain("ROW_DIFFERS");
});

test("columns that are added, filled and dropped", async () => {
  const stream = await capture(SHOP);
  await stream.sql(ROWS);
  // A default that the daemon notices is read anew; what the publication left out is not.
  await stream.sql("ALTER TABLE public.t ADD COLUMN empty int, ADD COLUMN filled int, ADD COLUMN given int DEFAULT 7");
  await stream.sql("INSERT INTO public.t (id, name) VALUES (501, 'later')");
  await stream.swept("public.t");
  expect(await verifyDatabase(stream)).toMatchObject({ code: 0, kinds: [] });
  await stream.sql("ALTER TABLE public.t ADD COLUMN late int");
  await unpublished(stream, "UPDATE public.t SET late = 7 WHERE id <= 500");
  await stream.published();
  const added = await verifyDatabase(stream);
  expect(added, added.output).toMatchObject({ code: 1, kinds: ["VALUES_UNSEEN"] });
  expect(found(added, "VALUES_UNSEEN")).toMatchObject([{ columns: ["late"] }]);
  await stream.sql("UPDATE public.t SET id = id");
  await stream.published();
  expect(await verifyDatabase(stream)).toMatchObject({ code: 0, kinds: [] });
  await stream.sql("ALTER TABLE public.t DROP COLUMN name, ADD COLUMN never int");
  const dropped = await verifyDatabase(stream);
  expect(dropped, dropped.output).toMatchObject({ code: 0, kinds: [] });
  expect(found(dropped, "COLUMNS_NOT_COMPARED")).toMatchObject([{ columns: ["name"] }]);
  await unpublished(stream, "UPDATE public.t SET late = 8, given = 8 WHERE id = 3");
  await stream.published();
  expect(found(await verifyDatabase(stream), "ROW_DIFFERS")).toMatchObject([{ columns: ["given", "late"] }]);
});

test("a column that was filled, and no event after it: the topics don't hold what the table shows", async () => {
  const stream = await capture(
    `CREATE TABLE public.t (id int PRIMARY KEY, name text, price numeric,
                            twice numeric GENERATED ALWAYS AS (price * 2) STORED);
     CREATE TABLE public.log (n int); ALTER TABLE public.log REPLICA IDENTITY FULL`,
  );
  await stream.sql(`${ROWS}; INSERT INTO public.log VALUES (1)`);
  await stream.sql("ALTER TABLE public.t ADD COLUMN grade text, ADD COLUMN empty int");
  await unpublished(stream, "UPDATE public.t SET grade = 'secret'");
  await stream.published();
  const run = await verifyDatabase(stream);
  expect(run, run.output).toMatchObject({ code: 1, kinds: ["VALUES_UNSEEN"], report: { result: "wrong" } });
  expect(found(run, "VALUES_UNSEEN")).toMatchObject([
    {
      table: "public.t",
      columns: ["grade"],
      what: expect.stringMatching(/^500 rows of public\.t have values in grade/),
    },
  ]);
  expect(found(run, "COLUMNS_NOT_COMPARED")).toMatchObject([{ columns: ["twice"] }]);
  expect(run.report.database?.tables).toContainEqual({ table: "public.t", rows: 500, equal: false });
  expect(run.output).not.toContain("secret");
  expect((await verifyDatabase(stream, ["--ignore-unseen"])).code).toBe(0);
  await stream.sql("UPDATE public.t SET id = id; ALTER TABLE public.log ADD COLUMN by text");
  await stream.published();
  const keyless = await verifyDatabase(stream);
  expect(keyless, keyless.output).toMatchObject({ code: 1, kinds: ["TABLE_NOT_FOLDED"] });
  await stream.sql("ALTER TABLE public.t RENAME COLUMN id TO number; DROP TABLE public.log");
  expect(found(await verifyDatabase(stream), "TABLE_NOT_FOLDED")).toMatchObject([{ table: "public.t" }]);
});

test("types that are changed, the key's too, differ only where the text does", async () => {
  const stream = await capture("CREATE TABLE public.t (id text PRIMARY KEY, n text, x int)");
  await stream.sql("INSERT INTO public.t SELECT n, n, n FROM generate_series(1, 30) n");
  // Neither rewrites the rows: they are compared as they were told under the other type.
  await stream.sql("ALTER TABLE public.t ALTER id TYPE varchar, ALTER n TYPE varchar");
  await stream.sql("INSERT INTO public.t VALUES ('31', '31', 31)");
  await stream.published();
  expect((await stream.events()).some(({ operation }) => operation === "gap")).toBe(false);
  expect(await verifyDatabase(stream)).toMatchObject({ code: 0, kinds: [] });
  // This one does, so they are read anew.
  await stream.sql("ALTER TABLE public.t ALTER x TYPE numeric");
  await stream.sql("INSERT INTO public.t VALUES ('32', '32', 32)");
  await stream.swept("public.t");
  expect(await verifyDatabase(stream)).toMatchObject({ code: 0, kinds: [] });
  // The same numbers in another text.
  await unpublished(stream, "UPDATE public.t SET x = x::numeric(8, 2) WHERE id <> '32'");
  await stream.published();
  const run = await verifyDatabase(stream);
  expect(run, run.output).toMatchObject({ code: 1, kinds: ["ROW_DIFFERS"], report: { counts: { ROW_DIFFERS: 31 } } });
  expect(found(run, "ROW_DIFFERS")[0]).toMatchObject({ columns: ["x"] });
});

test("a keyless table whose old rows are not sent is not passed over", async () => {
  const stream = await capture("CREATE TABLE public.k (id int PRIMARY KEY, n int)", { AFTERIMAGE_KEYLESS: "public.k" });
  await stream.sql("INSERT INTO public.k VALUES (1, 1); UPDATE public.k SET n = 2");
  await stream.published();
  const run = await verifyDatabase(stream);
  expect(run, run.output).toMatchObject({ code: 1, kinds: ["TABLE_NOT_FOLDED"], report: { result: "partial" } });
  expect((await verifyDatabase(stream, ["--allow-partial"])).code).toBe(0);
});

test("a table that the stream doesn't know, and one that is left out, are named", async () => {
  const stream = await capture(`${SHOP}; CREATE SCHEMA other; CREATE TABLE other.x (id int PRIMARY KEY)`);
  await stream.sql("CREATE TABLE public.late (id int PRIMARY KEY); INSERT INTO public.late VALUES (1)");
  await stream.sql(`ALTER PUBLICATION afterimage_${stream.stream} ADD TABLE public.late`);
  const run = await verifyDatabase(stream, ["--tables", "public.*"]);
  expect(run, run.output).toMatchObject({ code: 1, kinds: ["TABLE_UNSEEN"] });
  expect(found(run, "TABLE_NOT_SELECTED")).toMatchObject([{ table: "other.x" }]);
  expect(run.report.database?.tables).toEqual([{ table: "public.t", rows: 0, equal: true }]);
});

test("tables that are asked for by name must be there: nothing is not equal to nothing", async () => {
  const stream = await capture(`${SHOP}; CREATE TABLE public.gone (id int PRIMARY KEY)`);
  await stream.sql("DROP TABLE public.gone");
  await stream.published();
  const refusal = (missing: string) => ({
    code: 2,
    output: expect.stringMatching(new RegExp(`^VERIFY_NO_TABLES: There is no table${missing} to compare`)),
  });
  const misspelt = await verifyDatabase(stream, ["--tables", "public.x"]);
  expect(misspelt, misspelt.output).toMatchObject(refusal(" of public\\.x"));
  const oneOfTwo = await verifyDatabase(stream, ["--tables", "public.*,other.*,public.gone,!public.t2"]);
  expect(oneOfTwo, oneOfTwo.output).toMatchObject(refusal(" of other\\.\\*, public\\.gone"));
  const configured = await verifyDatabase(stream, [], { AFTERIMAGE_TABLES: "other.*" });
  expect(configured, configured.output).toMatchObject(refusal(""));
  const some = await verifyDatabase(stream, [], { AFTERIMAGE_TABLES: "public.*,other.*" });
  expect(some, some.output).toMatchObject({ code: 0, kinds: [] });
});

test("settings that can't work, and a stream that isn't there yet", async () => {
  const stream = await capture(SHOP);
  await stream.sql(ROWS);
  await stream.published();
  const other = await createDatabase();
  onTestFinished(() => other.drop());
  const foreign = await verifyDatabase(stream, [], { AFTERIMAGE_POSTGRES_URL: other.url });
  expect(foreign, foreign.output).toMatchObject({ code: 4, output: expect.stringContaining("SERVER_FOREIGN") });
  const away = await verifyDatabase(stream, [], { AFTERIMAGE_POSTGRES_URL: "postgres://postgres@127.0.0.1:1/x" });
  expect(away, away.output).toMatchObject({ code: 3, output: expect.stringContaining("POSTGRES_UNREACHABLE") });
  for (const flags of [["--show-keys"], ["--tables", "public.x"]]) {
    const env = { AFTERIMAGE_STREAM: stream.stream, AFTERIMAGE_KAFKA_BROKERS: "127.0.0.1:1" };
    const usage = await runVerify(env, flags);
    expect(usage, usage.output).toMatchObject({ code: 2, output: expect.stringContaining("--against-database") });
  }

  const role = `reader_${stream.stream}`;
  await stream.sql(`CREATE ROLE ${role} LOGIN PASSWORD 'reader'`);
  onTestFinished(async () => {
    await stream.sql(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  });
  const url = new URL(stream.database.url);
  url.username = role;
  url.password = "reader";
  const asReader = { AFTERIMAGE_POSTGRES_URL: url.href };
  const refused = await verifyDatabase(stream, [], asReader);
  expect(refused, refused.output).toMatchObject({ code: 4, output: expect.stringContaining("VERIFY_NOT_ALLOWED") });
  await stream.sql(`GRANT SELECT ON public.t TO ${role}`);
  expect(await verifyDatabase(stream, [], asReader)).toMatchObject({ code: 0, kinds: [] });
  await stream.sql("CREATE TABLE public.late (id int PRIMARY KEY)");
  await stream.sql(`ALTER PUBLICATION afterimage_${stream.stream} ADD TABLE public.late`);
  const late = await verifyDatabase(stream, [], asReader);
  expect(late, late.output).toMatchObject({ code: 4, output: expect.stringContaining("public.late") });
  await stream.sql("DROP TABLE public.late");
  await stream.sql("ALTER TABLE public.t ENABLE ROW LEVEL SECURITY");
  const hidden = await verifyDatabase(stream, [], asReader);
  expect(hidden, hidden.output).toMatchObject({ code: 4, output: expect.stringContaining("BYPASSRLS") });

  stream.daemon.child.kill("SIGSTOP");
  await stream.sql("DELETE FROM public.t WHERE id = 1");
  const behind = await verifyDatabase(stream, ["--wait", "1s"]);
  expect(behind, behind.output).toMatchObject({
    code: 4,
    output: expect.stringMatching(/VERIFY_BEHIND[\s\S]*within 1 s/),
  });
  stream.daemon.child.kill("SIGCONT");
  await stream.daemon.kill("SIGTERM");
  await stream.sql("DELETE FROM public.t WHERE id = 2");
  const stopped = await verifyDatabase(stream, ["--wait", "1s"]);
  expect(stopped, stopped.output).toMatchObject({
    code: 4,
    output: expect.stringMatching(/VERIFY_BEHIND[\s\S]*no daemon/),
  });
});
