// The workload does all it claims to, and the oracle that watches it tells the truth: audit, WAL and tables agree.
import { afterEach, expect, test } from "vitest";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { waitFor } from "../support/wait-for.ts";
import { collectPostgres, createOracleSlot, dropOracleSlot, type PostgresEvidence } from "./collect-postgres.ts";
import { foldDifferences, WalWitness } from "./oracle-check.ts";
import { seeded } from "./random.ts";
import { FRAME_NAMES, OPERATIONS } from "./workload/plan.ts";
import { setupSql } from "./workload/setup.ts";
import { Workload, type WorkloadOptions } from "./workload/workload.ts";

let database: TestDatabase;
let witness: WalWitness | undefined;
let workload: Workload | undefined;

afterEach(async () => {
  await workload?.stop().catch(() => undefined); // the test has failed for this reason already
  await witness?.close();
  [workload, witness] = [undefined, undefined];
  await database.drop();
});

async function begin(options: Partial<WorkloadOptions> = {}): Promise<Workload> {
  database = await createDatabase();
  await database.client.query(setupSql());
  await createOracleSlot(database.url);
  witness = await WalWitness.create(database.url);
  workload = await Workload.start({ url: database.url, random: seeded("workload test"), rate: 2_000, ...options });
  return workload;
}

const running = (started: Workload) => {
  if (started.failure !== null) throw started.failure;
};

async function collect(): Promise<PostgresEvidence> {
  return collectPostgres(database.url, { stream: "s", partitions: 3 });
}

test("every operation occurs, and audit, WAL and tables say the same", async () => {
  const started = await begin({ bulkRows: 2_000, frames: { evolve: 4, prepared: 20, long: 4 } });
  const missing = () =>
    [...FRAME_NAMES, ...OPERATIONS.map(({ name }) => name)].filter((name) => !started.operations[name]);
  await waitFor(
    () => {
      running(started);
      // An orphan's transaction never comes to its planned end.
      return (
        missing().join() === "orphan" && started.counters.errors.has("40P01") && started.counters.errors.has("23503")
      );
    },
    { what: "every kind of operation", timeout: 120_000 },
  );
  await started.stop();
  const evidence = await collect();

  expect(foldDifferences(evidence).slice(0, 5)).toEqual([]);
  expect((await witness!.differences(evidence)).slice(0, 5)).toEqual([]);
  expect(new Set(evidence.audit.map(({ table }) => table))).toEqual(new Set(evidence.tables.map(({ table }) => table)));
  expect(new Set(evidence.audit.map(({ operation }) => operation)).size).toBe(4);
  expect(new Set(evidence.statuses.values())).toEqual(new Set(["committed"]));
  expect(evidence.statuses.size).toBe(evidence.commits.length);
  const balances = evidence.contents.get("public.accounts")!.map((row) => BigInt(row.get("balance")!));
  expect(balances.reduce((a, b) => a + b)).toBe(evidence.constantSum.value);
  const elements = evidence.contents
    .get("public.lists")!
    .flatMap((row) => row.get("elements")!.slice(1, -1).split(","));
  expect(new Set(elements).size).toBe(elements.length);
  expect(started.counters.decisions.commit).toBeGreaterThan(0);
  expect(started.counters.decisions.rollback).toBeGreaterThan(0);
  expect(
    (await database.client.query("SELECT FROM pg_prepared_xacts WHERE database = current_database()")).rowCount,
  ).toBe(0);
  // Both slots see the same order, whatever they publish.
  await dropOracleSlot(database.url);
  const slots = await database.client.query(
    "SELECT slot_name FROM pg_replication_slots WHERE database = current_database()",
  );
  expect(slots.rowCount).toBe(1);
}, 240_000);

test("the tables are described as events name and carry them", async () => {
  await begin({ writers: 1, rate: 20 });
  await workload!.stop();
  const tables = new Map((await collect()).tables.map((table) => [table.table, table]));
  expect(tables.get('"odd.schema"."Odd ""name"".t"')).toEqual({
    table: '"odd.schema"."Odd ""name"".t"',
    topic: "s.odd-2Eschema.Odd-20-22name-22-2Et",
    partitions: 3,
    columns: ["__proto__", "constructor", "1", 'a.b "q"; --', "ключ😀"],
    types: new Map([
      ["__proto__", "int4"],
      ["1", "int4"],
    ]),
    key: ["__proto__"],
    identity: "default",
  });
  expect(tables.get("public.indexed")).toMatchObject({ key: ["number", "region"], identity: "index" });
  expect(tables.get("public.swapped")).toMatchObject({ key: [], identity: "full" });
  expect(tables.get("public.heap")).toMatchObject({ key: [], identity: "full" });
  expect(tables.get("public.copied")!.columns).toEqual(["id", "label", "amount"]);
  expect(tables.has("public.parts") || tables.has("public.audit") || tables.has("public.unrelated")).toBe(false);
  expect([...tables.get("public.typed")!.types.values()].sort()).toEqual(
    ["bool", "float4", "float8", "int2", "int4", "int4", "oid"].sort(),
  );
});

test("paused, nothing is under way; resumed, it goes on", async () => {
  const started = await begin();
  await waitFor(() => started.counters.committed > 100, { what: "transactions" });
  await started.pause();
  const { transactions, rows } = started.counters;
  const active = await database.client.query(
    "SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'torture workload' AND state <> 'idle'",
  );
  expect(active.rowCount).toBe(0);
  const before = await collect();
  const after = await collect();
  expect(after.audit.length).toBe(before.audit.length);
  expect(started.counters).toMatchObject({ transactions, rows });
  started.resume();
  await waitFor(() => started.counters.transactions > transactions + 100, { what: "more" });
  await started.stop();
});

test("an error that no fault explains is not swallowed", async () => {
  const started = await begin();
  await database.client.query("ALTER TABLE public.accounts RENAME COLUMN changes TO other");
  await waitFor(() => started.failure !== null, { what: "the failure" });
  await expect(started.stop()).rejects.toThrow(/column "changes".*does not exist|has no field "changes"/s);
});
