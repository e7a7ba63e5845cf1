// The SQLite store: its lock, its fence, its writes, and files that don't fit.
import { existsSync, symlinkSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { sqliteStore } from "../../../src/sdk/store/sqlite-store.ts";
import type { SqliteTransaction } from "../../../src/sdk/store/sqlite-transaction.ts";
import { rowsOf, SETUP, temporaryFile } from "./view-fixture.ts";

const VIEW = { stream: "shop", group: "test" };

async function writing(file: string, setup: string, write: (tx: SqliteTransaction) => void): Promise<void> {
  const session = await sqliteStore(file, { setup }).open(VIEW);
  try {
    await session.begin();
    write(session.tx);
    await session.commit([]);
  } finally {
    await session.close();
  }
}

const failsWith = (code: string, message?: string) =>
  expect.objectContaining({ code, ...(message && { message: expect.stringContaining(message) }) });

test("a file has one consumer at a time, whatever path leads to it; readers are not hindered", async () => {
  const file = temporaryFile();
  const session = await sqliteStore(file, { setup: SETUP }).open(VIEW);
  await expect(sqliteStore(file, { setup: SETUP }).open(VIEW)).rejects.toMatchObject({ code: "STORE_IS_LOCKED" });
  symlinkSync(file, `${file}-link`);
  await expect(sqliteStore(`${file}-link`, { setup: SETUP }).open(VIEW)).rejects.toMatchObject({
    code: "STORE_IS_LOCKED",
  });
  await session.begin();
  session.tx.upsert("products", { id: 1, name: "lamp" });
  expect(rowsOf(file)).toEqual([]);
  await session.commit([]);
  expect(rowsOf(file)).toHaveLength(1);
  await session.close();
  await (await sqliteStore(file, { setup: SETUP }).open(VIEW)).close();
});

test("a commit under a token that was raised since is refused and writes nothing", async () => {
  const file = temporaryFile();
  const session = await sqliteStore(file, { setup: SETUP }).open(VIEW);
  const [checkpoint] = await session.claim("t", "id", 1);
  const other = new DatabaseSync(file);
  other.exec("UPDATE afterimage_checkpoints SET token = token + 1");
  other.close();
  await session.begin();
  session.tx.upsert("products", { id: 1, name: "late" });
  const advance = { from: 0n, to: { ...checkpoint!, offset: 5n, sequence: 5 } };
  expect(() => session.commit([advance])).toThrow(failsWith("STORE_FENCED"));
  await session.rollback();
  await session.close();
  expect(rowsOf(file)).toEqual([]);
});

test("columns whose names run together with a blank are told apart", async () => {
  const file = temporaryFile();
  const setup = 'CREATE TABLE t (id INTEGER PRIMARY KEY, "a b" INT, c INT, a INT, "b c" INT)';
  await writing(file, setup, (tx) => {
    tx.upsert("t", { id: 1, "a b": 10, c: 20 });
    tx.upsert("t", { id: 1, a: 30, "b c": 40 });
    expect(tx.get("SELECT * FROM t")).toMatchObject({ "a b": 10, c: 20, a: 30, "b c": 40 });
  });
});

test("upsert writes the columns that are present; booleans become 0 and 1, whole numbers stay whole", async () => {
  const file = temporaryFile();
  const setup =
    "CREATE TABLE products (id TEXT, shop INTEGER, name TEXT, hot INTEGER, price TEXT, PRIMARY KEY (id, shop))";
  await writing(file, setup, (tx) => {
    tx.upsert("products", { id: "a", shop: 1, name: "lamp", hot: true, price: "12.50" });
    tx.upsert("products", { shop: 1, id: "a", hot: false });
    tx.upsert("products", { shop: 2, id: "a", price: 7 });
    tx.upsert("products", { shop: 2, id: "a" });
    tx.delete("products", { id: "a", shop: 3 });
    expect(tx.get("SELECT count(*) AS n FROM products WHERE hot = ?", false)).toEqual({ n: 1 });
    expect(tx.run("UPDATE products SET name = ? WHERE shop = ?", "sofa", 2)).toBe(1);
    expect(tx.all("SELECT shop FROM products ORDER BY shop")).toHaveLength(2);
  });
  expect(rowsOf(file)).toEqual([
    { id: "a", shop: 1, name: "lamp", hot: 0, price: "12.50" },
    { id: "a", shop: 2, name: "sofa", hot: null, price: "7" },
  ]);
});

test("what can't be written is named", async () => {
  await writing(temporaryFile(), `${SETUP}; CREATE TABLE loose (a)`, (tx) => {
    expect(() => tx.upsert("products", { id: 1, colour: "red" })).toThrow(failsWith("COLUMN_UNKNOWN", "colour"));
    expect(() => tx.upsert("products", { name: "x" })).toThrow(failsWith("PRIMARY_KEY_MISSING", "id"));
    expect(() => tx.delete("products", { name: "x" })).toThrow(failsWith("PRIMARY_KEY_MISSING", "id"));
    expect(() => tx.upsert("loose", { a: 1 })).toThrow(failsWith("PRIMARY_KEY_MISSING", "loose"));
    expect(() => tx.upsert("nowhere", { a: 1 })).toThrow(failsWith("TABLE_UNKNOWN", "nowhere"));
    expect(() => tx.upsert("products", { id: 1, name: undefined })).toThrow(failsWith("VALUE_UNSUPPORTED", "name"));
    expect(() => tx.upsert("products", { id: null, name: "x" })).toThrow(failsWith("PRIMARY_KEY_MISSING", "id"));
  });
});

test("names that need quoting work", async () => {
  const file = temporaryFile();
  await writing(file, `CREATE TABLE "a ""b" ("the key" INTEGER PRIMARY KEY, "1" TEXT)`, (tx) => {
    tx.upsert('a "b', { "the key": 1, 1: "one" });
    tx.upsert('a "b', { "the key": 1, 1: "uno" });
    expect(tx.get('SELECT "1" AS v FROM "a ""b"')).toEqual({ v: "uno" });
  });
});

test("setup runs once; a failing one leaves nothing, a changed one is refused", async () => {
  const file = temporaryFile();
  await expect(sqliteStore(file, { setup: `${SETUP}; CREATE TABEL x` }).open(VIEW)).rejects.toMatchObject({
    code: "STORE_SETUP_FAILED",
  });
  await writing(file, SETUP, (tx) => tx.upsert("products", { id: 1 }));
  await writing(file, SETUP, (tx) => tx.upsert("products", { id: 2 }));
  expect(rowsOf(file)).toHaveLength(2);
  await expect(sqliteStore(file, { setup: "CREATE TABLE other (a)" }).open(VIEW)).rejects.toMatchObject({
    code: "STORE_SETUP_CHANGED",
  });
});

test("a folder that is not there and a file that is no database are named", async () => {
  const file = temporaryFile();
  await expect(sqliteStore(`${file}/deeper/view.db`).open(VIEW)).rejects.toMatchObject({
    code: "STORE_FOLDER_MISSING",
  });
  const { writeFileSync } = await import("node:fs");
  writeFileSync(file, "this is a text file, and a longer one than a header");
  await expect(sqliteStore(file, { setup: SETUP }).open(VIEW)).rejects.toMatchObject({ code: "STORE_FAILED" });
  expect(existsSync(file)).toBe(true);
});
