// A publication that is altered and put back leaves rows out without a word: its row in pg_publication tells, and
// nothing else that happens to that row may halt the stream.
import { afterEach, expect, test } from "vitest";
import { CapturedStream } from "../support/captured-stream.ts";

let stream: CapturedStream;
afterEach(() => stream.drop());

const TABLE = "CREATE TABLE t (id int PRIMARY KEY, n int)";
const publication = () => `afterimage_${stream.stream}`;
const set = (publish: string) => stream.sql(`ALTER PUBLICATION ${publication()} SET (publish = '${publish}')`);
const ALL = "insert, update, delete, truncate";

async function xmin(): Promise<string> {
  const { rows } = await stream.sql("SELECT xmin::text FROM pg_publication WHERE pubname = $1", [publication()]);
  return String(rows[0]!.xmin);
}

/** An update that is not published, and all as it was afterwards. */
async function updateUnpublished(): Promise<void> {
  await set("insert");
  await stream.sql("UPDATE t SET n = n + 1");
  await set(ALL);
}

async function halts(daemon = stream.spawn()): Promise<string> {
  expect(await daemon.exited()).toMatchObject({ code: 4 });
  expect(daemon.output()).toContain("PUBLICATION_CHANGED");
  return daemon.output();
}

test("altered and put back while it streams: halts within seconds, and at each start until it is accepted", async () => {
  stream = await CapturedStream.create(TABLE);
  await stream.sql("INSERT INTO t VALUES (1, 1)");
  await stream.published();
  await updateUnpublished();
  await halts(stream.daemon);
  const said = await halts();
  expect(said).toContain(`set postgres.acceptPublicationXmin to ${await xmin()} and start again`);
  await stream.start({ AFTERIMAGE_POSTGRES_ACCEPT_PUBLICATION_XMIN: await xmin() });
  await stream.sql("INSERT INTO t VALUES (2, 2)");
  expect((await stream.events()).map(({ operation }) => operation)).toEqual(["insert", "insert"]);
  expect((await stream.progress())?.publicationXmin).toBe(Number(await xmin()));
  // It is recorded: the setting is not needed any more, and accepts nothing else.
  await stream.daemon.kill("SIGTERM");
  const accepted = await xmin();
  await stream.start();
  await stream.daemon.kill("SIGTERM");
  await updateUnpublished();
  await halts(stream.spawn({ AFTERIMAGE_POSTGRES_ACCEPT_PUBLICATION_XMIN: accepted }));
});

test("altered and put back while nothing runs, and under a publication for all tables", async () => {
  stream = await CapturedStream.create(`${TABLE}; CREATE PUBLICATION everything FOR ALL TABLES`, {
    AFTERIMAGE_POSTGRES_PUBLICATION: "everything",
  });
  await stream.published();
  await stream.daemon.kill("SIGTERM");
  await stream.sql("ALTER PUBLICATION everything SET (publish = 'insert')");
  await stream.sql("DELETE FROM t");
  await stream.sql(`ALTER PUBLICATION everything SET (publish = '${ALL}')`);
  await halts();
});

test("tables that are added, comments, VACUUM and a freeze of the catalogue are no change", async () => {
  stream = await CapturedStream.create(TABLE);
  await stream.sql("INSERT INTO t VALUES (1, 1)");
  await stream.published();
  const before = await xmin();
  await stream.sql("CREATE TABLE added (id int PRIMARY KEY); CREATE TABLE found (id int PRIMARY KEY)");
  await stream.sql(`ALTER PUBLICATION ${publication()} ADD TABLE added`);
  for (const statement of [
    "VACUUM (FREEZE, ANALYZE) pg_publication",
    "VACUUM (FULL, FREEZE) pg_publication",
    "REINDEX TABLE pg_publication",
    `COMMENT ON PUBLICATION ${publication()} IS 'made by afterimage'`,
  ]) {
    await stream.sql(statement);
  }
  await stream.sql("INSERT INTO t VALUES (2, 2)");
  await stream.published();
  await stream.daemon.kill("SIGTERM");
  await stream.start();
  await stream.sql("INSERT INTO found VALUES (3)");
  expect((await stream.events()).map(({ key }) => key)).toEqual([{ id: 1 }, { id: 2 }, { id: 3 }]);
  expect(await xmin()).toBe(before);
});
