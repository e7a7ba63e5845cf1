// Registers and leases on a real Postgres: null when missing, equality by value, fencing, and histories that Porcupine judges.
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { type Json, type Lease, LinearizableStore } from "../../src/sdk/index.ts";
import { buildJudge, type Operation } from "../kills/history.ts";
import { registersUnderKills } from "../kills/registers.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { waitFor } from "../support/wait-for.ts";
import { seeded } from "../torture/random.ts";
import { blocksOf, readPages } from "../unit/docs/pages.ts";

let database: TestDatabase;
let store: LinearizableStore;
let other: LinearizableStore;
beforeAll(async () => {
  database = await createDatabase();
  // The store has to ask for more than the database's own defaults.
  await database.client.query(`ALTER DATABASE ${database.name} SET default_transaction_isolation = serializable`);
  [store, other] = [0, 1].map(() => new LinearizableStore({ postgres: database.url })) as [typeof store, typeof other];
});
afterAll(async () => {
  await Promise.all([store.close(), other.close()]);
  await database.drop();
});

const refusal = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "accepted",
    (error: { code: string }) => error.code,
  );

test("null when there is none; what is written is read, by others too; null removes", async () => {
  const key = randomUUID();
  expect(await store.read(key)).toBe(null);
  for (const value of [1, "", "\u0000\ud800", false, [], { b: [1, null], a: {} }] as Json[]) {
    await store.write(key, value);
    expect(await other.read(key)).toStrictEqual(value);
  }
  await other.write(key, null);
  expect(await store.read(key)).toBe(null);
});

test("compareAndSet: expected null creates, value null removes, anything else replaces what is equal", async () => {
  const key = randomUUID();
  expect(await store.compareAndSet(key, 1, 2)).toBe(false);
  expect(await store.compareAndSet(key, 1, null)).toBe(false);
  expect(await store.compareAndSet(key, null, null)).toBe(true);
  expect(await store.read(key)).toBe(null);
  expect(await store.compareAndSet(key, null, { a: 1, b: [2, { c: 3, d: 4 }] })).toBe(true);
  expect(await store.compareAndSet(key, null, "again")).toBe(false);
  expect(await store.compareAndSet(key, null, null)).toBe(false);
  for (const unequal of [
    { a: 1 },
    { a: 1, b: [{ c: 3, d: 4 }, 2] },
    { a: "1", b: [2, { c: 3, d: 4 }] },
    [],
    0,
  ] as Json[]) {
    expect(await store.compareAndSet(key, unequal, "no")).toBe(false);
  }
  expect(await store.compareAndSet(key, { b: [2, { d: 4, c: 3.0 }], a: 1 }, -0)).toBe(true);
  expect(await store.compareAndSet(key, 0, "ä")).toBe(true);
  expect(await store.compareAndSet(key, "a\u0308", "no")).toBe(false);
  expect(await store.compareAndSet(key, "ä", null)).toBe(true);
  expect(await store.read(key)).toBe(null);
});

test("of many that compare with the same value one gets through", async () => {
  const key = randomUUID();
  const won = async (expected: Json) => {
    const calls = Array.from({ length: 10 }, (_, at) =>
      (at % 2 ? store : other).compareAndSet(key, expected, randomUUID()),
    );
    return (await Promise.all(calls)).filter((did) => did).length;
  };
  expect(await won(null)).toBe(1);
  expect(await won(await store.read(key))).toBe(1);
});

test("a pool of the application's own, with weaker settings", async () => {
  const options =
    "-c default_transaction_isolation=serializable -c synchronous_commit=off -c default_transaction_read_only=on";
  const pool = new pg.Pool({ connectionString: database.url, options });
  const ours = new LinearizableStore({ postgres: pool });
  onTestFinished(() => pool.end());
  const key = randomUUID();
  await ours.write(key, 1);
  expect(await ours.compareAndSet(key, 1, 2)).toBe(true);
  expect(await ours.read(key)).toBe(2);
  expect((await pool.query("SHOW synchronous_commit")).rows).toEqual([{ synchronous_commit: "off" }]);
});

test.each([[""], ["a\0"], ["\ud800"], ["x".repeat(1025)], [7]])("%j is no key", async (key) => {
  const calls = [
    store.read(key as string),
    store.write(key as string, 1),
    store.acquireLease(key as string, { seconds: 1 }),
  ];
  expect(await Promise.all(calls.map(refusal))).toEqual(Array(3).fill("REGISTER_KEY_INVALID"));
});

test("values that JSON can't hold are refused, and so are leases without a time", async () => {
  const key = randomUUID();
  expect(await refusal(store.write(key, new Date() as never))).toBe("VALUE_NOT_JSON");
  expect(await refusal(store.compareAndSet(key, Number.NaN, 1))).toBe("VALUE_NOT_JSON");
  for (const seconds of [0, -1, Number.NaN, 1e9]) {
    expect(await refusal(store.acquireLease(key, { seconds }))).toBe("LEASE_TIME_INVALID");
  }
});

test("a lease has one holder at a time; each holder's token is higher; a late one is refused", async () => {
  const name = randomUUID();
  const [first, second] = await Promise.all([store, other].map((one) => one.acquireLease(name, { seconds: 3600 })));
  const held = (first ?? second)!;
  expect([first, second].filter((lease) => lease === null).length).toBe(1);
  expect(held.token).toBe(1);
  expect(held.remaining()).toBeGreaterThan(3_000_000);
  await held.renew();
  await store.write(name, "by the first", { lease: held });
  expect(await store.compareAndSet(name, "by the first", "again", { lease: held })).toBe(true);
  await held.release();
  expect(held.remaining()).toBe(0);
  expect(await refusal(held.renew())).toBe("LEASE_LOST");
  // Nobody else has it yet: nothing that the first one writes can do harm.
  await store.write(name, "late, and harmless", { lease: held });

  const short = (await other.acquireLease(name, { seconds: 0.001 }))!;
  expect(short.token).toBe(2);
  expect(await refusal(store.write(name, "late", { lease: held }))).toBe("LEASE_LOST");
  const third = await waitFor(() => store.acquireLease(name, { seconds: 60 }), { what: "its end" });
  expect(third.token).toBe(3);
  expect(await refusal(short.renew())).toBe("LEASE_LOST");
  for (const late of [held, short]) {
    expect(await refusal(other.write(name, "late", { lease: late }))).toBe("LEASE_LOST");
    expect(await refusal(other.compareAndSet(name, "late, and harmless", null, { lease: late }))).toBe("LEASE_LOST");
    expect(await refusal(other.compareAndSet(name, null, null, { lease: late }))).toBe("LEASE_LOST");
    await late.release(); // must not end that of another
  }
  expect(await other.acquireLease(name, { seconds: 1 })).toBe(null);
  expect(await store.read(name)).toBe("late, and harmless");
});

test("a guarded transaction commits before the lease is given to somebody else", async () => {
  const name = randomUUID();
  const lease = (await store.acquireLease(name, { seconds: 0.001 }))!;
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  onTestFinished(() => client.end());
  await client.query("BEGIN ISOLATION LEVEL READ COMMITTED");
  await lease.guard(client);
  let next: Lease | null = null;
  const taking = (async () => {
    while (next === null) next = await other.acquireLease(name, { seconds: 60 });
  })();
  const waiting =
    "SELECT FROM pg_locks WHERE NOT granted AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = $1)";
  const isWaiting = async () => (await database.client.query(waiting, [database.name])).rows.length > 0;
  await waitFor(isWaiting, { what: "the next holder to wait" });
  expect(next).toBe(null);
  await client.query("COMMIT");
  await taking;
  await client.query("BEGIN");
  expect(await refusal(lease.guard(client))).toBe("LEASE_LOST");
  await client.query("ROLLBACK");
});

const at = (client: number, called: number, returned: number | undefined, more: Partial<Operation>): Operation => ({
  client,
  key: "r",
  kind: "read",
  value: "null",
  called,
  ...(returned !== undefined && { returned }),
  ...more,
});
const write = { kind: "write", value: "1" } as const;
const compare = { kind: "compareAndSet", expected: "null", value: "1" } as const;

const HISTORIES: [string, string, Operation[]][] = [
  ["reads around a write", "linearizable", [at(1, 0, 10, write), at(2, 1, 2, {}), at(3, 3, 9, { value: "1" })]],
  ["a read that goes back", "not linearizable: r", [at(1, 0, 10, write), at(2, 1, 2, { value: "1" }), at(3, 3, 9, {})]],
  ["a stale read", "not linearizable: r", [at(1, 0, 1, write), at(2, 2, 3, {})]],
  [
    "two that created",
    "not linearizable: r",
    [at(1, 0, 9, { ...compare, did: true }), at(2, 0, 9, { ...compare, did: true })],
  ],
  ["one that failed for no reason", "not linearizable: r", [at(1, 0, 1, { ...compare, did: false })]],
  [
    "an unanswered write that shows late",
    "linearizable",
    [at(1, 0, undefined, write), at(2, 5, 6, {}), at(2, 7, 8, { value: "1" })],
  ],
  ["an unanswered write that never shows", "linearizable", [at(1, 0, undefined, write), at(2, 5, 6, {})]],
  [
    "an unanswered write that shows and goes",
    "not linearizable: r",
    [at(1, 0, undefined, write), at(2, 5, 6, { value: "1" }), at(2, 7, 8, {})],
  ],
  ["a value from nowhere", "not linearizable: r", [at(1, 0, 1, { value: "2" })]],
];

test("the judge tells right from wrong", async () => {
  const { judge, remove } = buildJudge();
  onTestFinished(remove);
  for (const [name, verdict, history] of HISTORIES) {
    expect([name, await judge(history)]).toEqual([name, verdict]);
  }
});

test("histories of processes that are killed between request and answer are linearizable", async () => {
  const seed = randomUUID();
  const report = await registersUnderKills(database.url, database.client, 3, seeded(seed)).catch((cause) => {
    throw new Error(`With seed ${seed}: ${cause.message}`, { cause });
  });
  expect(report).toMatchObject({ kills: expect.any(Number) });
});

const PAGE = readPages().find(({ path }) => path === "docs/linearizable.md")!;
const SDK = fileURLToPath(new URL("../../src/sdk/index.ts", import.meta.url));

test("the page's example", async () => {
  const folder = mkdtempSync(join(tmpdir(), "afterimage-registers-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "registers.ts");
  writeFileSync(file, blocksOf(PAGE, "ts")[0]!.code.replace('"afterimage-cdc/sdk"', JSON.stringify(SDK)));
  const child = spawn(process.execPath, [file], {
    env: { ...process.env, DATABASE_URL: database.url },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  expect(await once(child, "close")).toEqual([0, null]);
  expect(said).toBe("null\ntrue\nfalse\nann\ntoken 1\n");
});
