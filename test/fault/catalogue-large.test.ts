// Rows, tables and catalogues that are far larger than usual: feedback goes on while they are read, memory is bounded, and
// what can't be published halts by name.
import { readFileSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import { CapturedStream } from "../support/captured-stream.ts";
import { FeedbackTap } from "../support/feedback-tap.ts";

let stream: CapturedStream;
afterEach(() => stream.drop());

const JSONB = "CREATE TABLE t (id int PRIMARY KEY, body jsonb)";
/** 64 MB of text, which Postgres stores out of line. */
const insertLarge = (table: string) =>
  `INSERT INTO ${table} SELECT 2, jsonb_build_object('k', string_agg(md5(g::text), '')) FROM generate_series(1, 2000000) g`;

const peakMiB = () =>
  Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${stream.daemon.pid}/status`, "utf8"))![1]) / 1024;

/** The daemon again, with its feedback watched on its way. */
async function restartTapped(): Promise<FeedbackTap> {
  await stream.daemon.kill("SIGTERM");
  const tap = await FeedbackTap.start(stream.database.url);
  const { pid } = await stream.start({ AFTERIMAGE_POSTGRES_URL: tap.through(stream.database.url) });
  tap.watch(pid);
  return tap;
}

/** One is due every 500 ms; what is worked without looking up would delay it. */
function expectInTime({ longestMs, updates }: FeedbackTap): void {
  expect(updates).toBeGreaterThan(3);
  expect(longestMs).toBeLessThan(2_000);
}

test("a jsonb value of 64 MB halts with RECORD_TOO_LARGE, with less than two seconds of work between two status updates up to its end", async () => {
  stream = await CapturedStream.create(JSONB);
  await stream.sql(`INSERT INTO t VALUES (1, '{}')`);
  await stream.published();
  const tap = await restartTapped();
  await stream.sql(insertLarge("t"));
  await stream.sql(`INSERT INTO t VALUES (3, '{}')`);
  expect(await stream.daemon.exited()).toMatchObject({ code: 4 });
  expect(stream.daemon.output()).toContain('"code":"RECORD_TOO_LARGE"');
  await tap.close();
  expectInTime(tap);
  expect((await stream.stored()).map(({ event }) => event.sequence)).toEqual([1]);
  expect(await stream.confirmedFlushLsn()).toBeLessThanOrEqual((await stream.progress())!.endLsn);
});

test("one in a table that is not captured goes by", async () => {
  stream = await CapturedStream.create(
    `${JSONB}; CREATE TABLE other (id int PRIMARY KEY, body jsonb); CREATE PUBLICATION everything FOR ALL TABLES`,
    { AFTERIMAGE_POSTGRES_PUBLICATION: "everything", AFTERIMAGE_TABLES: "public.t" },
  );
  const tap = await restartTapped();
  await stream.sql(insertLarge("other"));
  await stream.sql(`INSERT INTO t VALUES (1, '{}')`);
  expect((await stream.published()).sequence).toBe(1);
  expectInTime(tap);
  await stream.daemon.kill();
  await tap.close();
});

test("a table of 1,600 columns, the most there can be, also after all but ten of them were dropped", async () => {
  const columns = Array.from({ length: 1_599 }, (_, at) => `c${at} int`).join(", ");
  stream = await CapturedStream.create(`CREATE TABLE wide (id int PRIMARY KEY, ${columns})`);
  const values = Array.from({ length: 1_599 }, (_, at) => at);
  await stream.sql(`INSERT INTO wide VALUES (1, ${values.join(", ")})`);
  const dropped = values.slice(10).map((at) => `DROP c${at}`);
  await stream.sql(`ALTER TABLE wide ${dropped.join(", ")}`);
  await stream.sql("UPDATE wide SET c3 = -3");
  const [inserted, updated] = await stream.events();
  expect(inserted!.after).toEqual({ id: 1, ...Object.fromEntries(values.map((at) => [`c${at}`, at])) });
  expect(updated!.after).toEqual({
    id: 1,
    ...Object.fromEntries(values.slice(0, 10).map((at) => [`c${at}`, at === 3 ? -3 : at])),
  });
});

/** The catalogue says ten thousand: AFTERIMAGE_TEST_TABLES=10000. */
const TABLES = Number(process.env.AFTERIMAGE_TEST_TABLES ?? 1_000);

test(`${TABLES} tables beside the captured one, all of them written to: memory stays where it is`, async () => {
  stream = await CapturedStream.prepare("CREATE SCHEMA other; CREATE TABLE t (id int PRIMARY KEY)", {
    AFTERIMAGE_POSTGRES_PUBLICATION: "everything",
    AFTERIMAGE_TABLES: "public.t",
  });
  /** By the thousand: the server has room for that many locks in a transaction. */
  const ofEach = async (statement: string) => {
    for (let from = 1; from <= TABLES; from += 1_000) {
      const until = Math.min(from + 999, TABLES);
      await stream.sql(
        `DO $do$ BEGIN FOR n IN ${from} .. ${until} LOOP EXECUTE format('${statement}', n); END LOOP; END $do$`,
      );
    }
  };
  await ofEach("CREATE TABLE other.t%s (id int PRIMARY KEY, note varchar(1000))");
  await stream.sql("CREATE PUBLICATION everything FOR ALL TABLES");
  await stream.start();
  await stream.sql("INSERT INTO t VALUES (1)");
  await stream.published();
  const before = peakMiB();
  for (const id of [1, 2]) await ofEach(`INSERT INTO other.t%s VALUES (${id}, repeat(''x'', 1000))`);
  await stream.sql("INSERT INTO t VALUES (2)");
  expect((await stream.published()).sequence).toBe(2);
  expect(peakMiB() - before).toBeLessThan(100);
}, 300_000);

/** The catalogue says ten million: AFTERIMAGE_TEST_ROWS=10000000; that takes half an hour and gigabytes. */
const ROWS = Number(process.env.AFTERIMAGE_TEST_ROWS ?? 200_000);

test(
  `${ROWS} rows inserted in one transaction and deleted in another: whole, once, in less than 300 MB, on one connection`,
  async () => {
    stream = await CapturedStream.create(
      `CREATE TABLE t (id int PRIMARY KEY);
       DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET wal_sender_timeout = ''5s''', current_database()); END $$`,
    );
    const patience = 60_000 + ROWS / 10;
    const phase = async (statement: string, sequence: number) => {
      await stream.sql(statement);
      const progress = await stream.published(patience);
      expect(progress.sequence).toBe(sequence);
      expect(progress.last).toMatchObject({ index: ROWS, complete: true });
    };
    await phase(`INSERT INTO t SELECT generate_series(1, ${ROWS})`, ROWS);
    await phase("DELETE FROM t", 2 * ROWS);
    expect(stream.daemon.output()).not.toContain('"state":"backing-off"');
    const verify = stream.ask("verify", {}, ["--against-database"]);
    expect(await verify.exited({ timeout: patience + ROWS / 2 }), verify.output()).toMatchObject({ code: 0 });
    expect(peakMiB()).toBeLessThan(300);
  },
  300_000 + ROWS,
);
