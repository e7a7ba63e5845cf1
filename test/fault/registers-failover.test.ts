// Registers when the primary is lost: what was acknowledged or seen is on the synchronous standby that is promoted, and what a
// standby or a replaced primary answers is refused.
import { appendFile } from "node:fs/promises";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { PostgresServer } from "../../dev/servers/embedded-postgres.ts";
import { startPostgres } from "../../dev/servers/servers.ts";
import { LinearizableStore, type PostgresPool } from "../../src/sdk/index.ts";
import { replaceData, signalFile } from "../support/base-backup.ts";
import { waitFor } from "../support/wait-for.ts";

let primary: PostgresServer;
let standby: PostgresServer;
/** Where the application's address leads to. */
let target: PostgresServer;
let store: LinearizableStore;
const pools = new Map<PostgresServer, pg.Pool>();

beforeAll(async () => {
  [primary, standby] = await Promise.all([startPostgres({ version: 18 }), startPostgres({ version: 18 })]);
  await primary.stop();
  const { port } = new URL(primary.address);
  await replaceData(standby, primary.data, async () => {
    const connection = `host=127.0.0.1 port=${port} user=postgres password=postgres application_name=second`;
    await appendFile(join(standby.data, "postgresql.auto.conf"), `primary_conninfo = '${connection}'\n`);
    await signalFile(standby, "standby.signal");
    await primary.start();
  });
  await ask(primary, "ALTER SYSTEM SET synchronous_standby_names = 'second'", "SELECT pg_reload_conf()");
  await waitFor(
    async () => (await ask(primary, "SELECT FROM pg_stat_replication WHERE sync_state = 'sync'")).length === 1,
    {
      what: "the standby to be synchronous",
    },
  );
  target = primary;
  const pool: PostgresPool = { connect: () => poolOf(target).connect() };
  store = new LinearizableStore({ postgres: pool });
});
afterAll(async () => {
  await Promise.all([...pools.values()].map((pool) => pool.end()));
  await Promise.all([primary?.remove(), standby?.remove()]);
});

function poolOf(server: PostgresServer): pg.Pool {
  let pool = pools.get(server);
  if (pool === undefined) {
    pool = new pg.Pool({ connectionString: server.address });
    pool.on("error", () => undefined); // its server is killed
    pools.set(server, pool);
  }
  return pool;
}

async function ask(server: PostgresServer, ...statements: string[]): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: server.address });
  await client.connect();
  try {
    let rows: Record<string, unknown>[] = [];
    for (const statement of statements) ({ rows } = await client.query(statement));
    return rows;
  } finally {
    await client.end();
  }
}

/** How many sessions wait for the standby. */
const waiting = async () =>
  (await ask(primary, "SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND backend_type = 'client backend'"))
    .length;

test("nothing that was acknowledged or seen is lost, and who is not the primary is refused", async () => {
  await store.write("kept", 1);
  const lease = (await store.acquireLease("leader", { seconds: 3600 }))!;
  expect(await store.read("kept")).toBe(1);

  target = standby;
  await waitFor(async () => (await ask(standby, "SELECT FROM afterimage.registers")).length === 1, {
    what: "the replay",
  });
  await expect(store.read("kept")).rejects.toMatchObject({ code: "SERVER_NOT_PRIMARY" });

  // The standby stands still. A write waits for it, and when its session is ended, Postgres shows it all the same.
  target = primary;
  standby.freeze();
  const cut = store.write("kept", 2);
  const outcome = cut.then(
    () => "acknowledged",
    (error: { code: string }) => error.code,
  );
  await waitFor(async () => (await waiting()) === 1, { what: "the write to wait" });
  await ask(primary, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
  expect(await outcome).toBe("OUTCOME_UNKNOWN");
  expect(await ask(primary, "SELECT value FROM afterimage.registers")).toEqual([{ value: "2" }]);
  // So nobody may be told of it yet: it could be gone with the primary.
  const seen: unknown[] = [];
  const reading = store.read("kept").then((value) => seen.push(value));
  const comparing = store.compareAndSet("kept", 1, 3).then((did) => seen.push(did));
  await waitFor(async () => (await waiting()) === 2, { what: "read and comparison to wait" });
  expect(seen).toEqual([]);
  standby.thaw();
  await Promise.all([reading, comparing]);
  expect(seen.toSorted()).toEqual([2, false]);

  await primary.kill();
  await ask(standby, "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf(), pg_promote()");
  target = standby;
  await waitFor(() => store.compareAndSet("kept", 2, "by the new primary").catch(() => false), {
    what: "the promotion",
  });
  expect(await store.acquireLease("leader", { seconds: 1 })).toBe(null);
  await store.write("kept", "guarded", { lease: lease! });

  // The old one comes back by mistake: whoever has seen the new one notices.
  await primary.start();
  await ask(primary, "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()");
  target = primary;
  await waitFor(
    async () =>
      (await store.read("kept").then(
        () => "answered",
        (error: { code: string }) => error.code,
      )) === "SERVER_NOT_PRIMARY",
    { what: "the old primary to be refused" },
  );
  for (const call of [
    store.write("kept", "lost"),
    store.write("none", null),
    store.compareAndSet("kept", "lost", null),
  ]) {
    await expect(call).rejects.toMatchObject({ code: "SERVER_NOT_PRIMARY" });
  }
  target = standby;
  expect(await store.read("kept")).toBe("guarded");
});
