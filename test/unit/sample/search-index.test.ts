// The sample's index without Kafka: what a person types, what is found, and how it is marked.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { SETUP } from "../../../src/sample/search-index/product-view.ts";
import { ProductSearch } from "../../../src/sample/search-index/search.ts";
import { toFtsQueries } from "../../../src/sample/search-index/search-terms.ts";
import { readSettings } from "../../../src/sample/search-index/settings.ts";
import { type SqliteTransaction, sqliteStore } from "../../../src/sdk/index.ts";

async function openIndex(write: (tx: SqliteTransaction) => void) {
  const folder = mkdtempSync(join(tmpdir(), "afterimage-sample-"));
  const file = join(folder, "index.db");
  const session = await sqliteStore(file, { setup: SETUP }).open({ stream: "shop", group: "search-index" });
  const commit = async (change: (tx: SqliteTransaction) => void) => {
    await session.begin();
    change(session.tx);
    await session.commit([]);
  };
  await commit(write);
  const search = new ProductSearch(file);
  onTestFinished(async () => {
    search.close();
    await session.close();
    rmSync(folder, { recursive: true });
  });
  return { search, commit, ids: (typed: string) => search.find(typed, 20).hits.map(({ id }) => id) };
}

const product = (id: string, name: string, description = "", brand = "Brand") => ({
  id,
  name,
  description,
  brand,
  category: "Things",
  price: "1.00",
  stock: 1,
  updated_at: `2026-11-22 18:00:0${id.at(-1)}+00`,
});

test.each([
  ["", []],
  ['  -- "*" ', []],
  ["\u0301", []],
  ["desk", ['"desk"*']],
  ["Desk lamp ", ['"Desk" "lamp"*', '"Desk"* "lamp"*']],
  ["a AND b", ['"a" "AND" "b"*', '"a"* "AND"* "b"*']],
  ['say "hi" NEAR(x)', ['"say" "hi" "NEAR" "x"*', '"say"* "hi"* "NEAR"* "x"*']],
  ["15-inch", ['"15" "inch"*', '"15"* "inch"*']],
])("%j becomes %j", (typed, queries) => {
  expect(toFtsQueries(typed)).toEqual(queries);
});

test("the index follows every kind of change", async () => {
  const index = await openIndex((tx) => {
    tx.upsert("products", product("9007199254740993", "Café lamp", "warm light"));
    tx.upsert("products", product("2", "Sofa", "goes with a lamp"));
  });
  expect(index.ids("cafe")).toEqual(["9007199254740993"]);
  expect(index.ids("lam")).toEqual(["9007199254740993", "2"]);
  expect(index.ids("goe lam")).toEqual(["2"]);
  await index.commit((tx) => tx.upsert("products", { id: "2", name: "Couch" }));
  expect(index.ids("sofa")).toEqual([]);
  expect(index.ids("couch lamp")).toEqual(["2"]);
  await index.commit((tx) => tx.upsert("products", { id: "2", price: "2.50" }));
  expect(index.search.find("couch", 20).hits[0]).toMatchObject({ price: "2.50", name: [["Couch", true]] });
  await index.commit((tx) => tx.run("UPDATE products SET id = 3 WHERE id = 2"));
  expect(index.ids("couch")).toEqual(["3"]);
  await index.commit((tx) => tx.delete("products", { id: "3" }));
  expect(index.ids("couch")).toEqual([]);
  await index.commit((tx) => tx.clear("products"));
  expect(index.search.find("", 20)).toEqual({ total: 0, hits: [] });
  await index.commit((tx) => tx.run("INSERT INTO products_text (products_text) VALUES ('integrity-check')"));
});

test("matches are marked as data, whatever the text is", async () => {
  const { search } = await openIndex((tx) => tx.upsert("products", product("1", "<b>Desk</b> & lamp", "a\u0003b")));
  const [hit] = search.find("desk", 20).hits;
  expect(hit!.name).toEqual([
    ["<b>", false],
    ["Desk", true],
    ["</b> & lamp", false],
  ]);
  expect(hit!.snippet.map(([text]) => text).join("")).toContain("b");
});

test("flags win over the environment, and a wrong one is named", () => {
  const env = { AFTERIMAGE_KAFKA_BROKERS: "a:1, b:2", SEARCH_PORT: "80" };
  expect(readSettings(["--port", "0", "--allow-host", "search.example"], env)).toMatchObject({
    brokers: ["a:1", "b:2"],
    port: 0,
    stream: "shop",
    table: "public.products",
    allowedHosts: ["search.example"],
  });
  expect(readSettings(["--help"], {})).toBeNull();
  for (const args of [["--prot", "1"], ["--port", "x"], ["--port", "70000"], ["--kafka", ","], ["extra"]]) {
    expect(() => readSettings(args, {})).toThrow(expect.objectContaining({ code: "USAGE_INVALID" }));
  }
});
