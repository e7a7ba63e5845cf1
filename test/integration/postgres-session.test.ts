// Connections to a real Postgres: settings that nobody else decides, servers that fall silent, statements cut off.
import { createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createPublication } from "../../src/source/publication.ts";
import { ReplicationStream } from "../../src/source/replication-stream.ts";
import { cancelStatement, closeSql, connectSql, withSql } from "../../src/source/session.ts";
import { createSlot, readSlot } from "../../src/source/slot.ts";
import { createDatabase, type TestDatabase, unique } from "../support/database.ts";
import { TcpProxy } from "../support/tcp-proxy.ts";
import { waitFor } from "../support/wait-for.ts";

let database: TestDatabase;
let proxy: TcpProxy;
beforeAll(async () => {
  database = await createDatabase();
  proxy = await TcpProxy.start(database.url);
});
afterAll(async () => {
  await proxy?.close();
  await database?.drop();
});

const HOSTILE = {
  client_encoding: "LATIN1",
  datestyle: "German",
  bytea_output: "escape",
  timezone: "Asia/Tokyo",
  statement_timeout: "60000",
  lock_timeout: "60000",
  idle_session_timeout: "60000",
  idle_in_transaction_session_timeout: "60000",
  transaction_timeout: "60000",
};

const OURS = {
  client_encoding: "UTF8",
  datestyle: "ISO, DMY",
  bytea_output: "hex",
  timezone: "UTC",
  statement_timeout: "0",
  lock_timeout: "0",
  idle_session_timeout: "0",
  idle_in_transaction_session_timeout: "0",
  transaction_timeout: "0",
};

test("neither the database's owner nor the URL changes what is pinned, also for replication", async () => {
  for (const [name, value] of Object.entries(HOSTILE)) {
    await database.client.query(`ALTER DATABASE ${database.name} SET ${name} = '${value}'`);
  }
  await database.client.query("CREATE TABLE pinned (id int PRIMARY KEY, at timestamptz, text text)");
  const url = new URL(database.url);
  const options = Object.entries(HOSTILE).map(([name, value]) => `-c ${name}=${value}`);
  url.searchParams.set("options", `-c work_mem=123MB ${options.join(" ")}`);
  url.searchParams.set("statement_timeout", "60000");
  url.searchParams.set("application_name", "theirs");
  await withSql({ url: url.href }, "ours", async (client) => {
    for (const [name, value] of Object.entries(OURS)) {
      const { rows } = await client.query(`SHOW ${name}`);
      expect({ [name]: Object.values(rows[0])[0] }).toEqual({ [name]: value });
    }
    expect((await client.query("SHOW work_mem")).rows).toEqual([{ work_mem: "123MB" }]);
    expect((await client.query("SHOW application_name")).rows).toEqual([{ application_name: "ours" }]);
  });
  // What a walsender's settings are can only be seen by what it writes.
  const name = unique("pinned");
  await database.client.query(`CREATE PUBLICATION ${name} FOR TABLE pinned`);
  const stream = await ReplicationStream.open(
    { url: url.href },
    { slot: name, publication: name, temporary: true },
    "ours",
  );
  try {
    const frames: Buffer[] = [];
    stream.consume({ wal: (bytes) => void frames.push(Buffer.from(bytes)), keepalive: () => undefined });
    await database.client.query("INSERT INTO pinned VALUES (1, '2024-02-03 04:05:06.5+00', 'ü')");
    const written = () => Buffer.concat(frames).toString("utf8");
    await waitFor(() => written().includes("2024-02-03 04:05:06.5+00"), { what: "the row" });
    expect(written()).toContain("ü");
  } finally {
    await stream.close();
    for (const setting of Object.keys(HOSTILE)) {
      await database.client.query(`ALTER DATABASE ${database.name} RESET ${setting}`);
    }
  }
});

test("a server that ends the connection before it is ready: a connection loss, by its code", async () => {
  const server = createServer((socket) => socket.once("data", () => socket.end()));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const opening = connectSql({ url: `postgres://me:word@127.0.0.1:${port}/db` }, "cut off");
  await expect(opening).rejects.toMatchObject({ code: "ECONNRESET" });
  await new Promise((resolve) => server.close(resolve));
});

describe("a server that falls silent", () => {
  test("a query ends with ETIMEDOUT, and so does the connection; closing it takes a moment, not for ever", async () => {
    const losses: string[] = [];
    const settings = { url: proxy.through(database.url), queryTimeoutMs: 3_000 };
    const client = await connectSql(settings, "silent", ({ code }) => losses.push(code));
    proxy.forget();
    await expect(client.query("SELECT 1")).rejects.toMatchObject({ code: "ETIMEDOUT" });
    await expect(client.query("SELECT 1")).rejects.toMatchObject({ code: "ETIMEDOUT" });
    expect(losses).toEqual(["ETIMEDOUT"]);
    await closeSql(client);
  });

  test("an idle connection is closed in about a second", async () => {
    const client = await connectSql({ url: proxy.through(database.url) }, "silent");
    proxy.forget();
    const begun = Date.now();
    await closeSql(client);
    const took = Date.now() - begun;
    expect(took).toBeGreaterThan(500);
    expect(took).toBeLessThan(3_000);
  });

  test("a connection that nobody accepts is given up with the signal", async () => {
    const silent = await TcpProxy.start(database.url);
    silent.freeze();
    const begun = Date.now();
    const signal = AbortSignal.timeout(200);
    await expect(connectSql({ url: silent.through(database.url) }, "silent", undefined, signal)).rejects.toThrow();
    expect(Date.now() - begun).toBeLessThan(3_000);
    await silent.close();
  });
});

test("a publication that another process makes at the same moment is there, not an error", async () => {
  const name = unique("race");
  const settings = { url: database.url };
  await withSql(settings, "first", async (first) => {
    await first.query("BEGIN");
    await first.query(`CREATE PUBLICATION ${name}`);
    await withSql(settings, "second", async (second) => {
      const made = createPublication(second, name, []);
      const waits =
        "SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = $2";
      await waitFor(async () => (await database.client.query(waits, ["second", "Lock"])).rows[0].n === 1, {
        what: "the second to wait for the first",
      });
      await first.query("COMMIT");
      expect(await made).toBe(false);
    });
  });
});

test("making a slot is cancelled on the server too", async () => {
  const slot = unique("cut");
  const settings = { url: database.url };
  await database.client.query("BEGIN");
  await database.client.query("SELECT pg_current_xact_id()");
  const client = await connectSql(settings, "cut off");
  const making = createSlot(client, slot, 60_000).catch((error) => error);
  // A transaction sees the activity of its first look.
  const observer = await connectSql(settings, "observer");
  const active =
    "SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'cut off' AND state = 'active'";
  const running = async () => (await observer.query(active)).rows[0].n;
  try {
    await waitFor(async () => (await running()) === 1, { what: "the slot to be made" });
    await cancelStatement(settings, client);
    await closeSql(client);
    expect(await making).toBeInstanceOf(Error);
    await waitFor(async () => (await running()) === 0, { what: "the backend to end" });
  } finally {
    await database.client.query("ROLLBACK");
    await closeSql(observer);
  }
  expect(await readSlot(database.client, slot)).toBeNull();
});
