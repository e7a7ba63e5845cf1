// Fault 52: ALTER TABLE while the table is read waits for a chunk's transaction at most, with whoever queues behind it.
import pg from "pg";
import { afterEach, expect, test } from "vitest";
import { statusOf } from "../support/admin.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { verifyDatabase } from "../support/verify-run.ts";
import { waitFor } from "../support/wait-for.ts";

let stream: CapturedStream;
const clients: pg.Client[] = [];
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.end()));
  await stream.drop();
});

async function connect(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: stream.database.url });
  await client.connect();
  clients.push(client);
  return client;
}

const isReading = async () => (await statusOf(stream.daemon)).snapshot.length > 0;

test("DDL waits no longer than a chunk takes, and what comes after it has the new columns", async () => {
  stream = await CapturedStream.create(
    `CREATE TABLE t (id int PRIMARY KEY, v text, pad text DEFAULT repeat('x', 400));
     INSERT INTO t SELECT g, 'old' FROM generate_series(1, 20000) g`,
    { AFTERIMAGE_BATCH_MAX_BYTES: "64KiB", AFTERIMAGE_SNAPSHOT: "initial" }, // smallest chunks
  );
  const [ddl, application] = [await connect(), await connect()];
  await waitFor(isReading, { what: "it to begin" });
  let longestMs = 0;
  const timed = async (work: Promise<unknown>) => {
    const begun = performance.now();
    await work;
    longestMs = Math.max(longestMs, performance.now() - begun);
  };
  let rounds = 0;
  for (; rounds < 6 && (await isReading()); rounds++) {
    await Promise.all([
      timed(ddl.query(rounds % 2 === 0 ? "ALTER TABLE t ADD COLUMN extra int" : "ALTER TABLE t DROP COLUMN extra")),
      timed(application.query(`UPDATE t SET v = 'round ${rounds}' WHERE id % 1000 = ${rounds}`)),
    ]);
  }
  expect(longestMs).toBeLessThan(2_000);
  // Had it waited for the whole snapshot, there would be none left after the first round.
  expect(rounds).toBeGreaterThan(1);
  await application.query("ALTER TABLE t ADD COLUMN more text");
  await waitFor(async () => !(await isReading()), { what: "the end of it" });
  await application.query("UPDATE t SET more = 'x'");
  await stream.published();
  const { code, kinds, output } = await verifyDatabase(stream);
  expect({ code, kinds }, output).toEqual({ code: 0, kinds: [] });
});
