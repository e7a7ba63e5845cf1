// Rows, tables and catalogues that are far larger than usual: memory is bounded. How long feedback pauses meanwhile:
// test/timing/feedback-pace.test.ts.
import { readFileSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import { CapturedStream } from "../support/captured-stream.ts";

let stream: CapturedStream;
// A database of ten thousand tables is not dropped in a moment.
afterEach(() => stream.drop(), 300_000);

const peakMiB = () =>
  Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${stream.daemon.pid}/status`, "utf8"))![1]) / 1024;

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

test(
  `${TABLES} tables beside the captured one, all of them written to: memory stays where it is`,
  async () => {
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
    expect((await stream.published(60_000 + TABLES * 50)).sequence).toBe(2);
    expect(peakMiB() - before).toBeLessThan(100);
  },
  300_000 + TABLES * 100,
);

/** The catalogue says ten million: AFTERIMAGE_TEST_ROWS=10000000; that takes half an hour and gigabytes. */
const ROWS = Number(process.env.AFTERIMAGE_TEST_ROWS ?? 200_000);

test(
  `${ROWS} rows inserted in one transaction and deleted in another: whole, once, in less than 300 MB, on one connection`,
  async () => {
    stream = await CapturedStream.create(
      `CREATE TABLE t (id int PRIMARY KEY);
       DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET wal_sender_timeout = ''2s''', current_database()); END $$`,
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
