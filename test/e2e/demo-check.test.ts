// `npm run demo -- --check`, as the README has it: kills on the way, then table, topic and index are equal.
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { expect, inject, test } from "vitest";
import { listTopics } from "../support/topics.ts";

const MAIN = fileURLToPath(new URL("../../dev/demo/main.ts", import.meta.url));

function runCheck(): Promise<{ code: number; stdout: string; stderr: string }> {
  const env = {
    ...process.env,
    AFTERIMAGE_TEST_POSTGRES_URL: inject("postgresUrl"),
    AFTERIMAGE_TEST_KAFKA_BROKERS: inject("brokers").join(","),
  };
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, "--check"], { env }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === "number" ? error.code : error ? -1 : 0, stdout, stderr });
    });
  });
}

async function leftBehind(): Promise<string[]> {
  const client = new pg.Client({ connectionString: inject("postgresUrl") });
  await client.connect();
  const { rows } = await client.query(
    "SELECT datname AS name FROM pg_database WHERE datname LIKE 'afterimage_demo_%'" +
      " UNION ALL SELECT slot_name FROM pg_replication_slots WHERE slot_name LIKE 'afterimage_shop%'",
  );
  await client.end();
  return [...rows.map(({ name }) => name), ...(await listTopics(inject("brokers"), "shop"))];
}

test("the check finds all equal after kill -9 of daemon and consumer, and leaves nothing behind", {
  timeout: 180_000,
}, async () => {
  const before = await leftBehind();
  const { code, stdout, stderr } = await runCheck();
  expect({ code, stderr }, stdout).toMatchObject({ code: 0 });
  const last = stdout.trimEnd().split("\n").at(-1);
  expect(last).toMatch(
    /^table (\d+) rows, topic \1 keys, index \1 rows: equal; sequence 1\.\.\d+ gapless; 0 duplicates$/,
  );
  expect(stdout.match(/kill -9 of the daemon/g)).toHaveLength(2);
  expect(stdout.match(/kill -9 of the consumer/g)).toHaveLength(1);
  expect(await leftBehind()).toEqual(before);
});
