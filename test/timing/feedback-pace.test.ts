// Fault 15: a value of 64 MB, and less than a second between two status updates while it is read, refused and let go.
import { afterEach, expect, test } from "vitest";
import { CapturedStream } from "../support/captured-stream.ts";
import { FeedbackTap } from "../support/feedback-tap.ts";

let stream: CapturedStream;
afterEach(() => stream.drop());

const JSONB = "CREATE TABLE t (id int PRIMARY KEY, body jsonb)";
/** 64 MB of text, which Postgres stores out of line. */
const insertLarge = (table: string) =>
  `INSERT INTO ${table} SELECT 2, jsonb_build_object('k', string_agg(md5(g::text), '')) FROM generate_series(1, 2000000) g`;

/** The daemon again, with its feedback watched on its way. */
async function restartTapped(): Promise<FeedbackTap> {
  await stream.daemon.kill("SIGTERM");
  const tap = await FeedbackTap.start(stream.database.url);
  await stream.start({ AFTERIMAGE_POSTGRES_URL: tap.through(stream.database.url) });
  return tap;
}

/** One is due every 500 ms. */
function expectInTime({ longestMs, updates }: FeedbackTap): void {
  expect(updates).toBeGreaterThan(3);
  expect(longestMs).toBeLessThan(1_000);
}

test("a jsonb value of 64 MB halts with RECORD_TOO_LARGE, with less than a second between two status updates up to its end", async () => {
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
