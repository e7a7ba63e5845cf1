// The payment endpoint of docs/idempotency.md as it is written: killed under a client that retries.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { freePort, listens } from "../../dev/servers/process.ts";
import { createDatabase } from "../support/database.ts";
import { waitFor } from "../support/wait-for.ts";
import { seeded } from "../torture/random.ts";
import { blocksOf, readPages } from "../unit/docs/pages.ts";

const PAGE = readPages().find(({ path }) => path === "docs/idempotency.md")!;
const SDK = fileURLToPath(new URL("../../src/sdk/index.ts", import.meta.url));

test("the page's payment endpoint, killed again and again under a client that retries: one payment each", async () => {
  const database = await createDatabase();
  onTestFinished(() => database.drop());
  const folder = mkdtempSync(join(tmpdir(), "afterimage-payments-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  await database.client.query("CREATE TABLE payments (id int GENERATED ALWAYS AS IDENTITY, customer text, cents int)");
  const file = join(folder, "payments.ts");
  writeFileSync(file, blocksOf(PAGE, "ts")[0]!.code.replace('"afterimage-cdc/sdk"', JSON.stringify(SDK)));
  const port = await freePort();
  const start = (): ChildProcess =>
    spawn(process.execPath, [file], {
      env: { ...process.env, DATABASE_URL: database.url, PORT: String(port) },
      stdio: ["ignore", "inherit", "inherit"],
    });
  let endpoint = start();
  let killing: Promise<unknown> | null = null;
  onTestFinished(() => void endpoint.kill("SIGKILL"));
  const killAndRestart = async () => {
    endpoint.kill("SIGKILL");
    await once(endpoint, "exit");
    endpoint = start();
    await waitFor(() => listens(port), { what: "the endpoint" });
  };
  await waitFor(() => listens(port), { what: "the endpoint" });
  const random = seeded(7);
  const pay = async (key: string, cents: number): Promise<{ status: number; payment?: string }> => {
    for (;;) {
      const body = JSON.stringify({ customer: "ann", cents });
      const request = fetch(`http://127.0.0.1:${port}/`, { method: "POST", headers: { "idempotency-key": key }, body });
      if (killing === null && random.chance(0.1)) {
        killing = killAndRestart().finally(() => {
          killing = null;
        });
      }
      const response = await request.catch(() => null);
      if (response !== null && response.status < 500) {
        const text = await response.text().catch(() => "");
        if (text !== "") return { status: response.status, ...JSON.parse(text) };
        if (response.status === 422) return { status: 422 };
      }
      await killing;
    }
  };
  const client = async (name: string): Promise<string[]> => {
    const told: string[] = [];
    for (let at = 0; at < 15; at++) {
      told.push((await pay(`${name}-${at}`, at)).payment!);
    }
    return told;
  };
  const told = (await Promise.all([client("one"), client("two")])).flat();
  const { rows } = await database.client.query("SELECT id::text FROM payments");
  expect(rows.map(({ id }) => id).sort()).toEqual([...told].sort());
  expect(rows.length).toBe(30);
  expect(await pay("one-0", 0)).toEqual({ status: 200, payment: told[0] });
  expect(await pay("one-0", 9)).toEqual({ status: 422 });
});
