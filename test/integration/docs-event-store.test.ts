// The example of docs/event-store.md as it is written, under the rights that the page gives.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { EventStore } from "../../src/sdk/index.ts";
import { createDatabase } from "../support/database.ts";
import { blocksOf, readPages } from "../unit/docs/pages.ts";

const PAGE = readPages().find(({ path }) => path === "docs/event-store.md")!;
const SDK = fileURLToPath(new URL("../../src/sdk/index.ts", import.meta.url));

test("the page's example, under the rights that the page gives", async () => {
  const database = await createDatabase();
  onTestFinished(() => database.drop());
  const store = new EventStore({ postgres: database.url });
  await store.read("any"); // the administrator's part
  await store.close();
  const role = `${database.name}_app`;
  await database.client.query(`CREATE ROLE ${role} LOGIN PASSWORD 'secret'`);
  await database.client.query(blocksOf(PAGE, "sql")[0]!.code.replaceAll(/\bTO app\b/g, `TO ${role}`));
  const folder = mkdtempSync(join(tmpdir(), "afterimage-events-"));
  onTestFinished(async () => {
    rmSync(folder, { recursive: true });
    await database.client.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  });
  const file = join(folder, "cart.ts");
  writeFileSync(file, blocksOf(PAGE, "ts")[0]!.code.replace('"afterimage-cdc/sdk"', JSON.stringify(SDK)));
  const url = new URL(database.url);
  [url.username, url.password] = [role, "secret"];
  const child = spawn(process.execPath, [file], {
    env: { ...process.env, DATABASE_URL: url.href, NO_COLOR: "1" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  expect(await once(child, "close")).toEqual([0, null]);
  expect(said).toContain("version: 2");
  expect(said).toMatch(/\]\n\{ tea: 2 \}\n\{\}\n$/);
});
