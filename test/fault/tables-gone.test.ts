// Tables that go at the very moment at which they are taken up: nothing of that is a reason to halt.
import { expect, onTestFinished, test } from "vitest";
import { addTables, createPublication } from "../../src/source/publication.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { createDatabase, unique } from "../support/database.ts";

test("a table that was listed and is gone leaves the others to be published", async () => {
  const { client, ...database } = await createDatabase();
  onTestFinished(() => database.drop());
  const publication = unique("p");
  await client.query("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)");
  const tables = ["a", "gone", "b"].map((table) => ({ schema: "public", table }));
  expect(await createPublication(client, publication, tables)).toBe(false);
  expect(await createPublication(client, publication, tables.slice(0, 1))).toBe(true);
  await addTables(client, publication, [...tables, { schema: "no_schema", table: "a" }], 1_000);
  const { rows } = await client.query("SELECT tablename AS name FROM pg_publication_tables WHERE pubname = $1", [
    publication,
  ]);
  expect(rows.map(({ name }) => name).sort()).toEqual(["a", "b"]);
});

test("rows of a table whose key nobody can tell any more are published without one", async () => {
  const publication = unique("p");
  const stream = await CapturedStream.create(
    `CREATE TABLE kept (id int PRIMARY KEY); CREATE PUBLICATION ${publication} FOR ALL TABLES`,
    { AFTERIMAGE_POSTGRES_PUBLICATION: publication, AFTERIMAGE_SNAPSHOT: "initial" },
  );
  onTestFinished(() => stream.drop());
  await stream.daemon.kill();
  await stream.sql("CREATE TABLE gone (id int PRIMARY KEY, v text); ALTER TABLE gone REPLICA IDENTITY FULL");
  await stream.sql("INSERT INTO gone VALUES (1, 'a'), (2, 'b')");
  await stream.sql("UPDATE gone SET id = 3 WHERE id = 2");
  await stream.sql("DROP TABLE gone");
  await stream.sql("INSERT INTO kept VALUES (1)");
  await stream.start();
  const events = await stream.events();
  expect(events.map(({ table, operation, key, after }) => ({ table, operation, key, after }))).toEqual([
    { table: "public.gone", operation: "insert", key: null, after: { id: 1, v: "a" } },
    { table: "public.gone", operation: "insert", key: null, after: { id: 2, v: "b" } },
    { table: "public.gone", operation: "update", key: null, after: { id: 3, v: "b" } },
    { table: "public.kept", operation: "insert", key: { id: 1 }, after: { id: 1 } },
  ]);
  // It stays so: the name is free for a table that has a key.
  await stream.sql("CREATE TABLE gone (id int PRIMARY KEY); INSERT INTO gone VALUES (7)");
  await stream.swept("public.gone");
  expect((await stream.events()).filter(({ operation }) => operation === "read").map(({ key }) => key)).toEqual([
    { id: 7 },
  ]);
});
