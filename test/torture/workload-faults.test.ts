// The workload goes on through what happens to its server, and the oracle's books are right afterwards.
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createDatabase, type OwnDatabase } from "../../dev/servers/database.ts";
import { type OwnServer, startPostgres } from "../../dev/servers/servers.ts";
import { waitFor } from "../support/wait-for.ts";
import { collectPostgres, createOracleSlot } from "./collect-postgres.ts";
import { foldDifferences } from "./oracle-check.ts";
import { seeded } from "./random.ts";
import { setupSql } from "./workload/setup.ts";
import { Workload } from "./workload/workload.ts";

let server: OwnServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.remove());

async function ask(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

const TERMINATE = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
  WHERE datname = current_database() AND application_name = 'torture workload'`;

test("killed sessions, an immediate stop and a killed server: it reconnects, and nothing stays prepared", async () => {
  const database: OwnDatabase = await createDatabase(server.address, "torture");
  const { url } = database;
  await database.client.query(setupSql());
  await createOracleSlot(url);
  const workload = await Workload.start({
    url,
    random: seeded("faults"),
    rate: 2_000,
    bulkRows: 3_000,
    frames: { prepared: 40 },
  });
  const more = (count: number) => {
    const from = workload.counters.committed;
    return waitFor(
      () => {
        if (workload.failure !== null) throw workload.failure;
        return workload.counters.committed >= from + count;
      },
      { what: "more transactions" },
    );
  };
  const faults: (() => Promise<unknown>)[] = [
    ...Array.from({ length: 10 }, () => () => ask(url, TERMINATE)),
    () => server.restart({ mode: "immediate" }),
    async () => {
      await server.kill();
      await sleep(500); // writers find nobody there
      await server.start();
    },
    () => server.restart(),
  ];
  for (const fault of faults) {
    await more(150);
    await fault();
  }
  await more(100);
  await workload.stop();

  expect(workload.counters.errors.get("connection lost") ?? 0).toBeGreaterThan(10);
  expect(await ask(url, "SELECT gid FROM pg_prepared_xacts")).toEqual([]);
  const evidence = await collectPostgres(url, { stream: "s", partitions: 4 });
  expect(foldDifferences(evidence).slice(0, 5)).toEqual([]);
  expect(new Set(evidence.statuses.values())).toEqual(new Set(["committed"]));
  await database.drop();
}, 240_000);
