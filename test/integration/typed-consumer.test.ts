// Typed and decoded values from the daemon to a handler: what `afterimage types` writes, what the compiler makes of it, what
// handlers get, and how a schema change that breaks it is found, at build time and at run time.
import { afterEach, expect, inject, onTestFinished, test } from "vitest";
import {
  type ChangeEvent,
  createConsumer,
  type DecodedRow,
  jsonNull,
  sqliteStore,
  Timestamp,
} from "../../src/sdk/index.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { GeneratedTypes } from "../support/generated-types.ts";
import { query, temporaryFile } from "../support/products-view.ts";
import { waitFor } from "../support/wait-for.ts";

const TABLES = `
  CREATE TYPE status AS ENUM ('new', 'paid');
  CREATE TYPE address AS (street text, number int);
  CREATE DOMAIN cents AS bigint CHECK (VALUE >= 0);
  CREATE TABLE orders (
    id bigint PRIMARY KEY, status status NOT NULL, tags text[], placed timestamptz, ship address, data jsonb,
    period int4range, total cents, price numeric, grid int[][], long_id bigint GENERATED ALWAYS AS (id * 2) STORED);
  CREATE TABLE "odd name" ("__proto__" int PRIMARY KEY, "class" text, "a-b" boolean);
  CREATE TABLE keyless (note text);
  ALTER TABLE keyless REPLICA IDENTITY FULL;`;

const PROGRAM = `
import { createConsumer, type JsonNull, type JsonValue, type Range, sqliteStore, type Timestamp } from "afterimage-cdc/sdk";
import { type Keyless, type OddName, type Orders, tables } from "./tables.ts";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const isSame = <A, B>(_same: Same<A, B>) => undefined;
isSame<Orders, {
  readonly id: bigint;
  readonly status: "new" | "paid" | null;
  readonly tags: readonly (string | null)[] | null;
  readonly placed: Timestamp | null;
  readonly ship: { readonly street: string | null; readonly number: number | null } | null;
  readonly data: JsonValue | JsonNull | null;
  readonly period: Range<number> | null;
  readonly total: bigint | null;
  readonly price: string | null;
  readonly grid: readonly (readonly (number | null)[])[] | null;
}>(true);
isSame<OddName, { readonly ["__proto__"]: number; readonly class: string | null; readonly "a-b": boolean | null }>(true);
isSame<Keyless, { readonly note: string | null }>(true);

const consumer = createConsumer({ kafka: { brokers: ["x:1"] }, stream: "s", group: "g", store: sqliteStore("v.db"), tables });
consumer.register("public.orders", (event, { tx }) => {
  if (event.operation === "insert" || event.operation === "update") {
    const { id, placed } = event.after;
    tx.run("INSERT INTO t VALUES (?, ?)", id, placed?.getTime() ?? null);
    // @ts-expect-error no such column
    event.after.totl;
    // @ts-expect-error a bigint
    const number: number = event.after.id;
  }
  if (event.operation === "delete") {
    isSame<typeof event.key, { readonly id: bigint } | null>(true);
    isSame<typeof event.before.status, "new" | "paid" | null | undefined>(true);
  }
});
consumer.register('public."odd name"', {
  upsert: (row, { tx }) => tx.upsert("t", { flag: row["a-b"] }),
  remove: (key, { tx }) => tx.delete("t", { id: key["__proto__"] }),
  clear: ({ tx }) => tx.clear("t"),
});
// @ts-expect-error no such table
consumer.register("public.order", () => undefined);
`;

let stream: CapturedStream;
afterEach(() => stream.drop());

type AnyEvent = ChangeEvent<DecodedRow, DecodedRow, DecodedRow>;

/** Runs a consumer; `of` gives what `take` was called with, once there are so many. */
function follow<T>(options: object, tables: readonly string[], take: (event: AnyEvent) => T) {
  const file = temporaryFile();
  const seen: T[] = [];
  const consumer = createConsumer({
    ...{ kafka: { brokers: inject("brokers") }, stream: stream.stream, group: "test", store: sqliteStore(file) },
    logger: { info: () => undefined, warn: () => undefined },
    ...(options as { values: "decoded" }),
  });
  for (const table of tables) {
    consumer.register(table, (event) => seen.push(take(event)));
  }
  const ended = consumer.run();
  ended.catch(() => undefined);
  onTestFinished(() => consumer.stop());
  const of = async (count: number) => {
    await waitFor(
      async () => {
        if (consumer.position().state === "failed") {
          await ended;
        }
        return seen.length >= count;
      },
      { what: `${count} events` },
    );
    return seen;
  };
  return { of, ended };
}

test("types are written, compile, and decode; what breaks them is found when they are checked, compiled and run", async () => {
  stream = await CapturedStream.prepare(TABLES);
  const types = new GeneratedTypes(stream);
  expect((await types.run()).code).toBe(0);
  expect(types.compile(PROGRAM)).toBe("");
  // The publication that the first start makes has the same tables and columns.
  await stream.start();
  expect((await types.run("--check")).code).toBe(0);

  await stream.sql(`INSERT INTO orders VALUES (9007199254740993, 'new', '{a,NULL,"b c"}', '2026-11-22 18:00:00.000001Z',
    '("Main St, 1",5)', 'null', '[1,5)', 5000000000, 1.10, '{{1,2},{3,4}}')`);
  await stream.sql(`UPDATE orders SET data = '{"n": 1}', ship = NULL; DELETE FROM orders;
    INSERT INTO "odd name" VALUES (1, 'c', true); INSERT INTO keyless VALUES ('k')`);
  const { tables } = await types.load();
  const view = follow({ tables }, Object.keys(tables), (event) => event);
  const seen = await view.of(5);
  const of = (operation: string, table = "public.orders") =>
    seen.filter((event) => event.operation === operation && event.table === table);
  const row = {
    ...{ id: 9007199254740993n, status: "new", tags: ["a", null, "b c"], placed: new Timestamp(1795370400000, 1) },
    ...{ ship: { street: "Main St, 1", number: 5 }, data: jsonNull, total: 5000000000n, price: "1.10" },
    period: { empty: false, lower: 1, upper: 5, lowerInclusive: true, upperInclusive: false },
    grid: [
      [1, 2],
      [3, 4],
    ],
  };
  expect(of("insert")).toMatchObject([{ key: { id: row.id }, before: null, after: row }]);
  expect(Object.entries(of("insert", 'public."odd name"')[0]!.after ?? {})).toEqual([
    ["__proto__", 1],
    ["class", "c"],
    ["a-b", true],
  ]);
  expect(of("insert", "public.keyless")).toMatchObject([{ key: null, after: { note: "k" } }]);
  expect(of("update")[0]).toMatchObject({ key: { id: row.id }, after: { ...row, data: { n: 1 }, ship: null } });
  expect(of("delete")[0]).toMatchObject({ key: { id: row.id }, before: { id: row.id }, after: null });

  await stream.sql("ALTER TABLE orders RENAME tags TO labels; INSERT INTO orders VALUES (1, 'new')");
  await expect(view.ended).rejects.toMatchObject({
    code: "TYPES_OUTDATED",
    message: expect.stringContaining("Column tags of public.orders is gone"),
  });
  const checked = await types.run("--check");
  expect([checked.code, checked.command.stderr()]).toEqual([4, expect.stringContaining("TYPES_OUTDATED")]);
  expect((await types.run()).code).toBe(0);
  expect(types.compile(PROGRAM)).toMatch(/program\.ts\(\d+,\d+\): error/);
});

test("types that know another type, or not all labels, end the consumer at the event, by name", async () => {
  stream = await CapturedStream.create(
    "CREATE TYPE mood AS ENUM ('calm'); CREATE TABLE t (id int PRIMARY KEY, m mood)",
  );
  const types = new GeneratedTypes(stream);
  expect((await types.run()).code).toBe(0);
  const { tables } = await types.load();
  await stream.sql("INSERT INTO t VALUES (1, 'calm')");
  const first = follow({ tables }, ["public.t"], (event) => event);
  await first.of(1);
  await stream.sql("ALTER TYPE mood ADD VALUE 'new'");
  await stream.sql("INSERT INTO t VALUES (2, 'new')");
  await expect(first.ended).rejects.toMatchObject({
    code: "TYPES_OUTDATED",
    message: expect.stringMatching(
      /^public\.mood has a label .*Column m of public\.t.*insert of public\.t, sequence 2/,
    ),
  });
  expect((await types.run("--check")).code).toBe(4);

  await stream.sql("ALTER TABLE t ALTER m TYPE int USING 5; UPDATE t SET m = 6 WHERE id = 1");
  expect((await types.run("--as-text", "public.t.m")).code).toBe(0);
  const { tables: asText } = await types.load();
  // The rewritten rows are read anew: a gap, two rows and a sweep stand beside the three changes.
  const second = follow({ tables: asText }, ["public.t"], ({ operation, after }) =>
    operation === "insert" || operation === "update" ? (after as DecodedRow).m : null,
  );
  expect((await second.of(7)).filter((value) => value !== null).toSorted()).toEqual(["6", "calm", "new"]);
  const third = follow({ tables }, ["public.t"], (event) => event);
  await expect(third.ended).rejects.toMatchObject({ code: "TYPES_OUTDATED" });
});

test('`values: "decoded"`: schemas that appear meanwhile, text where asked for, and a moved row with an unchanged value', async () => {
  stream = await CapturedStream.create(
    `CREATE TABLE t (id bigint PRIMARY KEY, body text, n int[], until timestamptz);
     ALTER TABLE t ALTER body SET STORAGE EXTERNAL`,
    { AFTERIMAGE_KAFKA_PARTITIONS: "1" },
  );
  const file = temporaryFile();
  const consumer = createConsumer({
    ...{ kafka: { brokers: inject("brokers") }, stream: stream.stream, group: "test", values: "decoded" },
    asText: ["timestamptz"],
    logger: { info: () => undefined, warn: () => undefined },
    store: sqliteStore(file, {
      setup: "CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT, n TEXT, until TEXT, more TEXT)",
    }),
  });
  consumer.register("public.t", {
    upsert: (row, { tx }) =>
      tx.upsert("t", Object.fromEntries(Object.entries(row).map(([name, value]) => [name, asCell(value)]))),
    remove: (key, { tx }) => tx.delete("t", { id: key.id as bigint }),
    clear: ({ tx }) => tx.clear("t"),
  });
  const ended = consumer.run();
  ended.catch(() => undefined);
  onTestFinished(() => consumer.stop());
  const reaches = (sequence: number) =>
    waitFor(
      async () => {
        if (consumer.position().state === "failed") {
          await ended;
        }
        return consumer.position().sequence >= sequence;
      },
      { what: `sequence ${sequence}` },
    );
  await stream.sql("INSERT INTO t VALUES (9007199254740993, repeat('x', 9000), '{1,NULL}', 'infinity')");
  await reaches(1);
  await stream.sql("ALTER TABLE t ADD more date; UPDATE t SET id = 9007199254740995, more = '2026-01-02'");
  await reaches(3);
  expect(query(file, "SELECT CAST(id AS TEXT) AS id, length(body) AS body, n, until, more FROM t")).toEqual([
    { id: "9007199254740995", body: 9000, n: "[1,null]", until: "infinity", more: "2026-01-02" },
  ]);
});

const asCell = (value: unknown) =>
  typeof value === "object" && value !== null ? JSON.stringify(value) : (value as bigint);
