// What the catalogue says now may be later than the WAL that is being read: rows are captured and counted as they were
// written.
import { afterEach, expect, test } from "vitest";
import { CapturedStream } from "../support/captured-stream.ts";

let stream: CapturedStream;
afterEach(() => stream.drop());

test("a partition dropped before its last rows were read loses none of them", async () => {
  stream = await CapturedStream.create(
    `CREATE TABLE orders (id int PRIMARY KEY) PARTITION BY RANGE (id);
     CREATE TABLE part_1 PARTITION OF orders FOR VALUES FROM (0) TO (100);
     CREATE PUBLICATION own FOR TABLE orders WITH (publish_via_partition_root = false)`,
    { AFTERIMAGE_POSTGRES_PUBLICATION: "own", AFTERIMAGE_TABLES: "public.orders" },
  );
  await stream.sql("INSERT INTO orders VALUES (1)");
  await stream.published();
  await stream.sql("BEGIN");
  await stream.sql("INSERT INTO orders VALUES (2)");
  await stream.sql("ALTER TABLE orders DETACH PARTITION part_1");
  await stream.sql("DROP TABLE part_1");
  await stream.sql("COMMIT");
  expect((await stream.events()).map(({ table, key }) => [table, key])).toEqual([
    ["public.part_1", { id: 1 }],
    ["public.part_1", { id: 2 }],
  ]);
});

test("an excluded table under FULL counts the same, whatever became of its primary key", async () => {
  stream = await CapturedStream.create(
    `CREATE TABLE t (id int PRIMARY KEY);
     CREATE TABLE x (id int PRIMARY KEY); ALTER TABLE x REPLICA IDENTITY FULL;
     CREATE PUBLICATION own FOR TABLE t, x`,
    { AFTERIMAGE_POSTGRES_PUBLICATION: "own", AFTERIMAGE_TABLES: "public.t" },
  );
  await stream.sql("INSERT INTO x VALUES (1)");
  await stream.sql("BEGIN; UPDATE x SET id = 2; INSERT INTO t VALUES (1); COMMIT");
  await stream.published();
  await stream.sql("ALTER TABLE x DROP CONSTRAINT x_pkey");
  await stream.sql("BEGIN; UPDATE x SET id = 3; INSERT INTO t VALUES (2); COMMIT");
  const indexes = (await stream.events()).map(({ transaction }) => transaction.index);
  expect(indexes).toEqual([2, 2]);
});
