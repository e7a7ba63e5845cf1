// Tables that somebody adds to a publication of their own while the daemon streams: read by themselves, from a gap on
// that stands before their first event.
import { afterEach, expect, test } from "vitest";
import { CapturedStream } from "../support/captured-stream.ts";
import { verifyDatabase } from "../support/verify-run.ts";
import { waitFor } from "../support/wait-for.ts";

let stream: CapturedStream;
afterEach(() => stream.drop());

const LARGE = (name: string) =>
  `CREATE TABLE ${name} (id int PRIMARY KEY, v text, body text); ALTER TABLE ${name} ALTER body SET STORAGE EXTERNAL;
   INSERT INTO ${name} SELECT g, 'old', repeat(md5(g::text), 80) FROM generate_series(1, 300) g;`;

const operationsOf = async (table: string) =>
  (await stream.stored()).filter(({ event }) => event.table === table).map(({ event }) => event.operation);
const swept = (table: string) =>
  waitFor(async () => (await operationsOf(table)).includes("sweep"), {
    what: `the end of the snapshot of ${table}`,
    timeout: 60_000,
  });

test("one that is written to at once, inside a transaction with others, and one that nobody writes to", async () => {
  stream = await CapturedStream.create(
    `CREATE TABLE first (id int PRIMARY KEY, v int); INSERT INTO first VALUES (1, 0); CREATE PUBLICATION own FOR TABLE first`,
    { AFTERIMAGE_SNAPSHOT: "initial", AFTERIMAGE_POSTGRES_PUBLICATION: "own" },
  );
  await stream.sql(`${LARGE("busy")} ALTER PUBLICATION own ADD TABLE busy`);
  // Without the gap before it, a view could do nothing with a change of a row of which it has no large value.
  await stream.sql(
    "BEGIN; UPDATE first SET v = 1; UPDATE busy SET v = 'new' WHERE id = 7; INSERT INTO busy VALUES (900); COMMIT",
  );
  await swept("public.busy");
  await stream.sql(`${LARGE("quiet")} ALTER PUBLICATION own ADD TABLE quiet`);
  await swept("public.quiet");
  expect((await operationsOf("public.busy"))[0]).toBe("gap");
  expect(new Set(await operationsOf("public.quiet"))).toEqual(new Set(["gap", "read", "sweep"]));
  await stream.sql("UPDATE busy SET v = 'last' WHERE id < 10; DELETE FROM quiet WHERE id < 10; UPDATE first SET v = 2");
  await stream.published();
  const { code, kinds, output } = await verifyDatabase(stream);
  expect({ code, kinds }, output).toEqual({ code: 0, kinds: [] });
  expect(stream.daemon.output()).toContain("the publication has a new table");
}, 120_000);
