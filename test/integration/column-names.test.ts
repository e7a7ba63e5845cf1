// Columns that get other names: the rows that no event touches hold their values under the former ones, so the table is
// read anew, and what the topic leads to equals the table under the names that it has now.
import { afterEach, expect, test } from "vitest";
import { CapturedStream } from "../support/captured-stream.ts";
import { verifyDatabase } from "../support/verify-run.ts";
import { waitFor } from "../support/wait-for.ts";

let stream: CapturedStream;
afterEach(() => stream.drop());

const LONG = { timeout: 60_000 };
const RENAMED = "a column was renamed";
const RETAKEN = "a column was dropped, and another one has its name";
const ODD = "columns had other names for a while";
const PASSED = "now that the stream has passed the change";

/** By table, why it was read, without those gaps that only repeat one for rows which came behind it. */
async function reasons(): Promise<Record<string, string[]>> {
  const told: Record<string, string[]> = {};
  for (const event of await stream.events()) {
    const why = event.operation === "gap" ? /follows \((.*)\)$/.exec(event.reason)?.[1] : undefined;
    if (why !== undefined && why !== PASSED) {
      told[event.table!] = [...(told[event.table!] ?? []), why];
    }
  }
  return told;
}

/** What the topics lead to is what the tables hold, value by value. */
async function expectEqual(): Promise<void> {
  await waitFor(async () => (await stream.progress())?.snapshot.length === 0, { what: "no snapshot", ...LONG });
  await stream.published();
  const { code, kinds, output } = await verifyDatabase(stream);
  expect({ code, kinds }, output).toEqual({ code: 0, kinds: [] });
}

test("renamed between and inside transactions, swapped, back, in partitions, dropped and added, while it runs and while it is down", async () => {
  const tables = ["quiet", "written", "inside", "swapped", "back", "lent", "swapped_back", "retaken", "down", "late"];
  stream = await CapturedStream.create(
    `${tables.map((name) => `CREATE TABLE ${name} (id int PRIMARY KEY, a text, b text)`).join("; ")};
     CREATE TABLE bare (id int, a text, b text); ALTER TABLE bare REPLICA IDENTITY FULL;
     CREATE TABLE whole (id int PRIMARY KEY, a text, b text); ALTER TABLE whole REPLICA IDENTITY FULL;
     CREATE TABLE filled (id int PRIMARY KEY, a text, b text); CREATE TABLE plain (id int PRIMARY KEY, a text, b text);
     CREATE TABLE parted (id int PRIMARY KEY, a text, b text) PARTITION BY RANGE (id);
     CREATE TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (100)`,
    { AFTERIMAGE_SNAPSHOT: "initial" },
  );
  for (const table of [...tables, "bare", "whole", "filled", "plain", "part"]) {
    await stream.sql(`INSERT INTO ${table} SELECT g, 'a' || g, 'b' || g FROM generate_series(1, 20) g`);
  }
  await stream.published();

  await stream.sql("ALTER TABLE quiet RENAME a TO z");
  await stream.sql("ALTER TABLE written RENAME a TO z");
  await stream.sql("UPDATE written SET z = 'new' WHERE id = 1; DELETE FROM written WHERE id = 2");
  await stream.sql(
    "UPDATE inside SET a = 'x' WHERE id = 1; ALTER TABLE inside RENAME a TO z; UPDATE inside SET z = 'y' WHERE id = 2",
  );
  const swap = (name: string) =>
    `ALTER TABLE ${name} RENAME a TO t; ALTER TABLE ${name} RENAME b TO a; ALTER TABLE ${name} RENAME t TO b`;
  await stream.sql(swap("swapped"));
  await stream.sql("UPDATE swapped SET a = 'new' WHERE id = 1");
  await stream.sql("ALTER TABLE back RENAME a TO z; ALTER TABLE back RENAME z TO a");
  // The catalogue never shows these names.
  await stream.sql(
    "ALTER TABLE lent RENAME a TO z; UPDATE lent SET z = 'new' WHERE id = 1; ALTER TABLE lent RENAME z TO a",
  );
  await stream.sql(`${swap("swapped_back")}; UPDATE swapped_back SET a = 'b*' WHERE id = 1; ${swap("swapped_back")}`);
  await stream.sql("ALTER TABLE retaken DROP a; INSERT INTO retaken VALUES (21, 'b')");
  await stream.sql("ALTER TABLE retaken ADD a int");
  await stream.sql("INSERT INTO retaken VALUES (22, 'b', 7)");
  await stream.sql("ALTER TABLE bare RENAME a TO z; UPDATE bare SET z = 'new' WHERE id = 1");
  await stream.sql("ALTER TABLE whole RENAME a TO z; UPDATE whole SET z = 'new' WHERE id = 1");
  await stream.sql("ALTER TABLE parted RENAME a TO z");
  await stream.sql("ALTER TABLE filled ADD n int DEFAULT 5");
  await stream.sql("ALTER TABLE plain DROP a; ALTER TABLE plain ADD c text; UPDATE plain SET c = 'c' WHERE id = 1");
  const read = [
    "quiet",
    "written",
    "inside",
    "swapped",
    "lent",
    "swapped_back",
    "retaken",
    "bare",
    "whole",
    "filled",
    "part",
  ];
  for (const table of read) {
    await stream.swept(`public.${table}`);
  }
  await expectEqual();

  await stream.daemon.kill();
  await stream.sql(
    "UPDATE down SET a = 'last' WHERE id = 1; ALTER TABLE down RENAME a TO z; UPDATE down SET z = 'n' WHERE id = 2",
  );
  await stream.sql("ALTER TABLE late RENAME a TO z");
  await stream.start();
  await stream.swept("public.down");
  await stream.swept("public.late");
  await expectEqual();
  for (const table of ["down", "late"]) {
    expect(stream.daemon.output()).toContain(`Table public.${table} is read anew: ${RENAMED}.`);
  }
  // What a start finds, and the reading of a table without a key, has a gap without more words.
  expect(await reasons()).toEqual({
    ...Object.fromEntries(
      ["quiet", "written", "inside", "swapped", "whole", "part"].map((name) => [`public.${name}`, [RENAMED]]),
    ),
    "public.filled": ["a column was added with a value for all rows"],
    "public.lent": [ODD],
    "public.swapped_back": [ODD],
    "public.retaken": [RETAKEN],
  });
}, 120_000);

test("a partitioned table that is published as one: a column renamed, one added with a value; with onRewrite: halt it halts", async () => {
  stream = await CapturedStream.create(
    `CREATE TABLE renamed (id int PRIMARY KEY, a text) PARTITION BY RANGE (id);
     CREATE TABLE renamed_1 PARTITION OF renamed FOR VALUES FROM (0) TO (100);
     CREATE TABLE filled (id int PRIMARY KEY, a text) PARTITION BY RANGE (id);
     CREATE TABLE filled_1 (a text, id int NOT NULL); ALTER TABLE filled ATTACH PARTITION filled_1 FOR VALUES FROM (0) TO (100);
     CREATE PUBLICATION mine FOR TABLE renamed, filled WITH (publish_via_partition_root = true)`,
    { AFTERIMAGE_SNAPSHOT: "initial", AFTERIMAGE_POSTGRES_PUBLICATION: "mine" },
  );
  for (const table of ["renamed", "filled"]) {
    await stream.sql(`INSERT INTO ${table} SELECT g, 'a' || g FROM generate_series(1, 20) g`);
  }
  await stream.published();
  await stream.sql("ALTER TABLE renamed RENAME a TO z; UPDATE renamed SET z = 'new' WHERE id = 1");
  await stream.sql("ALTER TABLE filled ADD n int DEFAULT 5; UPDATE filled SET n = 6 WHERE id = 1");
  await stream.swept("public.renamed");
  await stream.swept("public.filled");
  await expectEqual();
  expect(await reasons()).toEqual({
    "public.renamed": [RENAMED],
    "public.filled": ["a column was added with a value for all rows"],
  });
  await stream.daemon.kill("SIGTERM");
  await stream.sql("ALTER TABLE renamed RENAME z TO a");
  const halted = stream.spawn({ AFTERIMAGE_ON_REWRITE: "halt" });
  expect(await halted.exited({ timeout: 30_000 })).toMatchObject({ code: 4 });
  expect(halted.output()).toContain(`TABLE_REWRITTEN: Table public.renamed: ${RENAMED}`);
}, 120_000);
