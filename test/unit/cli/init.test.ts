// `init`: what it writes for names of every kind, what it refuses, and that it overwrites nothing.
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, expect, test, vi } from "vitest";
import { identityOf, init } from "../../../src/cli/init.ts";
import { loadConfig } from "../../../src/config/config.ts";
import { splitSql } from "../../support/split-sql.ts";

let dir: string;
const folders: string[] = [];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "afterimage-init-"));
  folders.push(dir);
  vi.spyOn(process.stdout, "write").mockReturnValue(true);
});
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true });
});

const FLAGS = {
  stream: "shop",
  postgres: "postgres://cdc:s3cr3t@db.example:5432/shop?sslmode=require&password=s3cr3t",
};
const read = (name: string) => readFileSync(join(dir, name), "utf8");
const codeOf = (doing: Promise<unknown>) =>
  doing.then(
    () => "nothing",
    ({ code }) => code,
  );

test("the files hold no password, are for this user only, and the configuration is one", async () => {
  await init({ ...FLAGS, dir, tables: 'public.*,!public.audit,"a.b"."it\'s"', snapshot: "initial" });
  expect(readdirSync(dir).sort()).toEqual(["shop.sql", "shop.yaml"]);
  expect(read("shop.sql") + read("shop.yaml")).not.toContain("s3cr3t");
  expect(statSync(join(dir, "shop.sql")).mode & 0o777).toBe(0o600);
  const config = loadConfig({ env: {}, file: join(dir, "shop.yaml") });
  expect(config).toMatchObject({
    stream: "shop",
    postgres: { url: "postgres://cdc@db.example:5432/shop?sslmode=require", slot: "afterimage_shop" },
    tables: ["public.*", "!public.audit", '"a.b"."it\'s"'],
    snapshot: "initial",
    kafka: { brokers: ["localhost:9092"], partitions: 4 },
  });
});

test("names can't break out of where they stand", async () => {
  const role = `r"; DROP TABLE x; --'\n$$\u2028`;
  const database = `d'b";\nDROP ROLE y; --`;
  const url = `postgres://${encodeURIComponent(role)}@h/${encodeURIComponent(database)}`;
  await init({ stream: "shop", postgres: url, dir, tables: `"a'b"."c"";%_\\*"`, snapshot: "initial" });
  const statements = splitSql(read("shop.sql"));
  expect(statements.map((statement) => /^\w+( \w+)?/.exec(statement)![0])).toEqual([
    "SET standard_conforming_strings",
    "SET search_path",
    "DO",
    "DO",
    "ALTER ROLE",
    "GRANT CONNECT",
    "DO",
    "DO",
    "SELECT pg_catalog",
    "RESET search_path",
    "RESET standard_conforming_strings",
  ]);
  expect(statements[4]).toBe(`ALTER ROLE "${role.replaceAll('"', '""')}" LOGIN REPLICATION`);
  expect(statements[6]).toContain(String.raw`c.relname LIKE ''c";\%\_\\*''`);
  expect(loadConfig({ env: {}, file: join(dir, "shop.yaml") }).tables).toEqual([`"a'b"."c"";%_\\*"`]);
});

test.each(["shop.sql", "shop.yaml"])("%s that is there already is left alone, and nothing is written", async (name) => {
  writeFileSync(join(dir, name), "mine");
  expect(await codeOf(init({ ...FLAGS, dir }))).toBe("INIT_FILE");
  expect(readdirSync(dir)).toEqual([name]);
  expect(read(name)).toBe("mine");
});

test("a link that leads nowhere is not followed", async () => {
  symlinkSync(join(dir, "elsewhere"), join(dir, "shop.yaml"));
  expect(await codeOf(init({ ...FLAGS, dir }))).toBe("INIT_FILE");
  expect(readdirSync(dir)).toEqual(["shop.yaml"]);
});

test.each([
  ["no stream", { postgres: FLAGS.postgres }, "CONFIG_MISSING"],
  ["no URL", { stream: "shop" }, "CONFIG_MISSING"],
  ["a stream that can't be", { ...FLAGS, stream: "../shop" }, "CONFIG_INVALID"],
  ["a pattern that can't be", { ...FLAGS, tables: "orders" }, "CONFIG_INVALID"],
  ["a broker that can't be", { ...FLAGS, kafka: "localhost" }, "CONFIG_INVALID"],
  ["a folder that isn't there", { ...FLAGS, dir: "/nowhere/at/all" }, "INIT_FILE"],
])("%s is refused", async (_, flags, code) => {
  expect(await codeOf(init({ dir, ...flags }))).toBe(code);
  expect(readdirSync(dir)).toEqual([]);
});

test.each([
  "postgres://h/d",
  "postgres://u@h",
  "postgres://postgres@h/d",
  "postgres://pg_x@h/d",
  "postgres://public@h/d",
  "postgres://%ff@h/d",
  "postgres://u%00@h/d",
  `postgres://${"u".repeat(64)}@h/d`,
])("%s names no role and database that can be set up", (url) => {
  expect(() => identityOf(url)).toThrow(expect.objectContaining({ code: "USAGE" }));
});

test("a URL of a Unix socket stays one", () => {
  expect(identityOf("postgres://cdc:x@/shop?host=/run/postgresql").url).toBe(
    "postgres://cdc@/shop?host=/run/postgresql",
  );
});
