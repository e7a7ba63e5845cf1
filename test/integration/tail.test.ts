// `afterimage tail`: shows what is committed, leaves nothing behind, and harms no application.
import pg from "pg";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { type SpawnedDaemon, spawnCli } from "../support/daemon.ts";
import { createDatabase, type TestDatabase, unique } from "../support/database.ts";
import { waitFor } from "../support/wait-for.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase();
  await database.client.query(`
    CREATE TABLE orders (id int PRIMARY KEY, status text, "1" numeric(10,2));
    CREATE TABLE full_log (id int, note text); ALTER TABLE full_log REPLICA IDENTITY FULL;
    CREATE TABLE keyless (x int);
    CREATE SCHEMA "a.b"; CREATE TABLE "a.b"."Ünïcode ""quoted""" (id int PRIMARY KEY)`);
});
afterAll(() => database.drop());

async function left(): Promise<string[]> {
  const { rows } = await database.client.query(
    `SELECT slot_name AS name FROM pg_replication_slots WHERE database = current_database()
      UNION ALL SELECT pubname FROM pg_publication`,
  );
  return rows.map(({ name }) => name as string);
}

async function tailing(args: string[], use: (tail: SpawnedDaemon) => Promise<void>): Promise<SpawnedDaemon> {
  const tail = spawnCli(["tail", "--postgres", database.url, ...args]);
  try {
    await tail.says("Showing changes");
    await use(tail);
    expect(await tail.kill("SIGINT")).toEqual({ code: 0, signal: null });
  } finally {
    await tail.kill();
  }
  return tail;
}

test("changes of every table that can be published; the others are named, and go on working", async () => {
  const tail = await tailing([], async (running) => {
    await database.client.query("INSERT INTO orders VALUES (1, 'new', 12.50), (2, 'new', NULL)");
    await database.client.query("UPDATE orders SET status = 'paid' WHERE id = 1");
    await database.client.query(
      "INSERT INTO full_log VALUES (1, 'a'); UPDATE full_log SET note = 'b'; TRUNCATE full_log",
    );
    await database.client.query("UPDATE orders SET id = 3 WHERE id = 2; DELETE FROM orders");
    await database.client.query(
      String.raw`SELECT pg_logical_emit_message(true, 'out box', 'paid'), pg_logical_emit_message(true, 'b', '\xff'::bytea)`,
    );
    await database.client.query(`INSERT INTO "a.b"."Ünïcode ""quoted""" VALUES (1)`);
    await database.client.query("INSERT INTO keyless VALUES (1); UPDATE keyless SET x = 2; DELETE FROM keyless");
    await running.says("Ünïcode");
  });
  const lines = tail
    .stdout()
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("──"));
  expect(lines).toEqual([
    "insert   public.orders id=1 1=12.50 status=new",
    "insert   public.orders id=2 1=null status=new",
    "update   public.orders id=1 1=12.50 status=paid",
    "insert   public.full_log id=1 note=a",
    "update   public.full_log note=a→b",
    "truncate public.full_log every row",
    "delete   public.orders id=2",
    "insert   public.orders id=3 1=null status=new",
    "delete   public.orders id=1",
    "delete   public.orders id=3",
    'message  "out box" paid',
    'message  b "/w==" (base64)',
    'insert   "a.b"."Ünïcode ""quoted""" id=1',
  ]);
  expect(tail.stderr()).toContain("Left out");
  expect(tail.stderr()).toContain("public.keyless");
  expect(await left()).toEqual([]);
});

test("Ctrl-C ends it while Postgres waits for an open transaction, and leaves nothing", async () => {
  const other = new pg.Client({ connectionString: database.url });
  await other.connect();
  onTestFinished(() => other.end());
  await other.query("BEGIN; INSERT INTO orders VALUES (99, 'open', 1)");
  const tail = spawnCli(["tail", "--postgres", database.url]);
  onTestFinished(async () => {
    await tail.kill();
  });
  await tail.says("Postgres waits for open transactions");
  expect(await tail.kill("SIGINT")).toEqual({ code: 0, signal: null });
  expect(tail.stderr()).not.toContain("Showing changes");
  await waitFor(async () => (await left()).length === 0, { what: "nothing left behind" });
  await other.query("ROLLBACK");
});

test("--json gives the events in their wire form, --tables chooses", async () => {
  const tail = await tailing(["--json", "--tables", "public.orders"], async (running) => {
    await database.client.query("INSERT INTO full_log VALUES (1, 'not shown')");
    await database.client.query("INSERT INTO orders VALUES (7, 'new', 1)");
    await running.says("orders");
  });
  const events = tail
    .stdout()
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(events).toEqual([
    expect.objectContaining({
      v: 1,
      table: "public.orders",
      operation: "insert",
      after: { id: 7, status: "new", "1": "1.00" },
    }),
  ]);
  await database.client.query("DELETE FROM orders");
});

test("after a SIGKILL the next tail cleans up; a tail that runs beside it is left alone", async () => {
  const killed = spawnCli(["tail", "--postgres", database.url]);
  await killed.says("Showing changes");
  await killed.kill("SIGKILL");
  await waitFor(async () => (await left()).length === 1, { what: "the temporary slot to go" });
  const tail = await tailing([], async (first) => {
    await tailing([], async () => {
      expect(await left()).toHaveLength(4);
      await database.client.query("INSERT INTO orders VALUES (8, 'new', 1)");
      await first.says("id=8");
    });
  });
  expect(tail.stderr()).toContain("left by a tail that was killed");
  expect(await left()).toEqual([]);
});

test("--publication uses one that exists and leaves it", async () => {
  const publication = unique("pub");
  await database.client.query(`CREATE PUBLICATION ${publication} FOR TABLE orders WITH (publish = 'insert')`);
  const tail = await tailing(["--publication", publication], async (running) => {
    await database.client.query(
      "INSERT INTO orders VALUES (9, 'new', 1); DELETE FROM orders; INSERT INTO orders VALUES (10, 'end', 1)",
    );
    await running.says("id=10");
  });
  expect(tail.stdout()).not.toContain("delete");
  expect(await left()).toEqual([publication]);
  await database.client.query(`DROP PUBLICATION ${publication}`);
});

test("errors have their names", async () => {
  for (const [args, code] of [
    [["--publication", "none"], "PUBLICATION_MISSING"],
    [["--tables", "public.keyless"], "TAIL_NO_TABLES"],
    [["--postgres", "postgres://u:p@127.0.0.1:1/d"], "POSTGRES_UNREACHABLE"],
  ] as const) {
    const tail = spawnCli(["tail", "--postgres", database.url, ...args]);
    expect((await tail.exited()).code).toBeGreaterThan(0);
    expect(tail.stderr()).toContain(`${code}: `);
  }
  expect(await left()).toEqual([]);
});

test("a pipe that is closed ends it quietly", async () => {
  const tail = spawnCli(["tail", "--postgres", database.url]);
  await tail.says("Showing changes");
  tail.child.stdout!.destroy();
  await database.client.query("INSERT INTO orders SELECT g, 'x', 1 FROM generate_series(100, 199) g");
  await waitFor(
    async () => {
      await database.client.query("UPDATE orders SET status = 'y' WHERE id = 100");
      return tail.child.exitCode !== null;
    },
    { what: "the end of tail" },
  );
  expect(tail.child.exitCode).toBe(0);
  expect(await left()).toEqual([]);
});
