// The README's quick start as it is written: its SQL, its configuration file, its commands, its view.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { expect, inject, onTestFinished, test } from "vitest";
import { freePort } from "../../dev/servers/process.ts";
import { spawnCli } from "../support/daemon.ts";
import { createDatabase } from "../support/database.ts";
import { deleteTopics } from "../support/topics.ts";
import { waitFor } from "../support/wait-for.ts";
import { blocksOf, readPages } from "../unit/docs/pages.ts";

const README = readPages().find(({ path }) => path === "README.md")!;
const SDK = fileURLToPath(new URL("../../src/sdk/index.ts", import.meta.url));

const TABLES = `
  CREATE TABLE public.products (id int PRIMARY KEY, name text, price numeric(10,2), note text);
  CREATE TABLE public.orders (id int PRIMARY KEY, status text);
  CREATE TABLE public.audit (id int PRIMARY KEY);`;

test("role, publication, doctor, start, a view, stop", async () => {
  const database = await createDatabase(inject("postgresUrl"));
  const { name, client } = database;
  const [role, brokers] = [`${name}_cdc`, inject("brokers")];
  onTestFinished(async () => {
    await database.drop(); // the role has a right on it
    await dropRole(role);
  });
  // The names of the example become ones that nobody else has.
  const own = (text: string): string =>
    text
      .replaceAll("shop", name)
      .replaceAll(/\bcdc\b/g, role)
      .replaceAll(/ALTER SYSTEM [^;]*;/g, "");

  await client.query(TABLES);
  for (const { code } of blocksOf(README, "sql")) {
    await client.query(own(code));
  }
  onTestFinished(() => deleteTopics(brokers, `${name}.`));

  const folder = mkdtempSync(join(tmpdir(), "afterimage-readme-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const port = await freePort();
  const { host } = new URL(database.url);
  writeFileSync(
    join(folder, "shop.yaml"),
    own(blocksOf(README, "yaml")[0]!.code)
      .replace("localhost:5432", host)
      .replace(`brokers: ["localhost:9092"]`, `brokers: ${JSON.stringify(brokers)}`)
      .replace("port: 7788", `port: ${port}`),
  );
  const afterimage = async (...args: string[]): Promise<string> => {
    const command = spawnCli([...args, "--config", "shop.yaml"], {}, folder);
    const { code } = await command.exited();
    expect(code, command.output()).toBe(0);
    return command.stdout();
  };

  expect(await afterimage("doctor")).toContain("Ready to start");
  await afterimage("start", "--detach", "--pid-file", "daemon.pid");
  let stopped = false;
  onTestFinished(async () => {
    if (!stopped) await afterimage("stop");
  });
  await client.query(
    `INSERT INTO products SELECT g, 'product ' || g, g / 4.0, repeat('x', 100) FROM generate_series(1, 50) g;
     UPDATE products SET price = 99.5 WHERE id = 7; DELETE FROM products WHERE id > 40; INSERT INTO audit VALUES (1)`,
  );
  const status = await afterimage("status");
  expect(status).toContain("streaming");
  expect(status).not.toContain("audit");

  const view = join(folder, "view.ts");
  writeFileSync(view, blocksOf(README, "ts")[0]!.code.replace('"afterimage-cdc/sdk"', JSON.stringify(SDK)));
  const child = spawn(process.execPath, [view], {
    cwd: folder,
    env: { ...process.env, KAFKA: brokers.join(","), STREAM: name },
    stdio: "inherit",
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const { rows: expected } = await client.query("SELECT id, name, price::text FROM products ORDER BY id");
  await waitFor(() => expect(readView(join(folder, "prices.db"))).toEqual(expected), { what: "the view to be equal" });
  child.kill("SIGTERM");
  expect(await once(child, "exit")).toEqual([0, null]);
  await afterimage("stop");
  stopped = true;
});

function readView(file: string): unknown[] {
  if (!existsSync(file)) {
    return [];
  }
  const database = new DatabaseSync(file, { readOnly: true, timeout: 5_000 });
  try {
    const isSetUp = database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'products'").get() !== undefined;
    const rows = isSetUp ? database.prepare("SELECT id, name, price FROM products ORDER BY id").all() : [];
    return rows.map((row) => ({ ...row }));
  } finally {
    database.close();
  }
}

async function dropRole(role: string): Promise<void> {
  const client = new pg.Client({ connectionString: inject("postgresUrl") });
  await client.connect();
  await client.query(`DROP ROLE IF EXISTS ${role}`);
  await client.end();
}
