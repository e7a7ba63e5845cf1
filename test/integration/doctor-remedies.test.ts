// Broken set-ups of Postgres: each is named by its code, its remedy is carried out as it is printed, step by step, and
// then the finding is gone. On a server of its own, since remedies alter the server's settings; nothing is restarted.
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import type { OwnServer } from "../../dev/servers/servers.ts";
import { loadConfig } from "../../src/config/config.ts";
import { runDoctor } from "../../src/daemon/doctor.ts";
import type { Finding, Step } from "../../src/source/finding.ts";
import { preflightPostgres, type TableChoice } from "../../src/source/preflight.ts";
import { BROKEN, DROP_SLOT, EMPTY, SLOT } from "../support/broken-postgres.ts";
import { spawnCli } from "../support/daemon.ts";
import { createDatabase, type TestDatabase, uniqueStream } from "../support/database.ts";
import { startQuietPostgres } from "../support/quiet-postgres.ts";
import { waitFor } from "../support/wait-for.ts";

let server: OwnServer;
let database: TestDatabase;
beforeAll(async () => {
  server = await startQuietPostgres();
  database = await createDatabase(server.address);
});
afterAll(async () => {
  await database?.drop();
  await server.remove();
});

const found = (findings: readonly Finding[]) =>
  findings.filter(({ severity, code }) => severity !== "ok" && code !== "SLOT_WAL_UNBOUNDED");

/** As psql does it: one statement after the other, each in a transaction of its own. */
async function paste(steps: readonly Step[]): Promise<void> {
  expect(steps.map(({ kind }) => kind)).toEqual(steps.map(() => "sql"));
  for (const { text } of steps) await database.client.query(text);
}

test.each(Object.entries(BROKEN))("%s", async (_, broken) => {
  const { code, severity = "error", role, besides = [] } = broken;
  let end = async (): Promise<unknown> => undefined;
  try {
    for (const statement of broken.sql) await database.client.query(statement);
    end = (await broken.also?.(database)) ?? end;
    const url = new URL(database.url);
    if (role !== undefined) Object.assign(url, { username: encodeURIComponent(role), password: "x" });
    const target = { url: url.href, slot: SLOT, publication: "p", stream: "shop", ...broken.target };
    const choice: TableChoice = { captures: () => true, keyless: () => false };
    const check = async () => (await preflightPostgres(target, choice, { waitMs: 0 })).findings;
    const named = (findings: readonly Finding[]) =>
      findings.filter((finding) => finding.code === code && finding.severity !== "ok");
    // Settings that are read again reach new sessions in the server's own time.
    const before = await waitFor(
      async () => {
        const findings = await check();
        return named(findings).length > 0 ? findings : null;
      },
      { what: `${code} to be found` },
    );
    expect(named(before)).toEqual([expect.objectContaining({ severity })]);
    const [{ steps, remedy }] = named(before) as [Finding];
    expect(steps.length).toBeGreaterThan(0);
    for (const { text } of steps) expect(remedy).toContain(text);
    await paste(steps);
    const after = await waitFor(
      async () => {
        const findings = await check();
        return named(findings).length === 0 ? findings : null;
      },
      { what: `${code} to be gone` },
    );
    expect(found(after).filter((finding) => !besides.includes(finding.code))).toEqual([]);
  } finally {
    await end();
    for (const statement of [...EMPTY, ...(broken.undo ?? [])]) await database.client.query(statement);
  }
});

describe("what only a new beginning mends", () => {
  const BEGUN = [
    'CREATE TABLE "T" (id int PRIMARY KEY)',
    "CREATE PUBLICATION p FOR ALL TABLES",
    "SELECT pg_create_logical_replication_slot('doctor_slot', 'pgoutput')",
  ];
  const LOST = [
    "ALTER SYSTEM SET max_slot_wal_keep_size = '16MB'",
    "SELECT pg_reload_conf()",
    ...Array(4).fill("SELECT pg_logical_emit_message(false, 'doctor', 'x'), pg_switch_wal()"),
    "CHECKPOINT",
    "ALTER SYSTEM RESET max_slot_wal_keep_size",
    "SELECT pg_reload_conf()",
  ];
  test.each([
    ["a slot that Postgres has given up", "SLOT_LOST", [...BEGUN, ...LOST]],
    ["a publication that is gone", "PUBLICATION_LOST", [...BEGUN, "DROP PUBLICATION p"]],
  ])("%s", async (_, code, statements) => {
    const env = {
      AFTERIMAGE_STREAM: uniqueStream(),
      AFTERIMAGE_POSTGRES_URL: database.url,
      AFTERIMAGE_POSTGRES_SLOT: SLOT,
      AFTERIMAGE_POSTGRES_PUBLICATION: "p",
      AFTERIMAGE_KAFKA_BROKERS: inject("brokers").join(","),
      AFTERIMAGE_STARTUP_WAIT: "0ms",
    };
    const errors = async () => (await runDoctor(loadConfig({ env }))).filter(({ severity }) => severity === "error");
    try {
      for (const statement of statements) await database.client.query(statement);
      const [finding, ...others] = await errors();
      expect(finding).toMatchObject({ code, steps: [{ kind: "shell", text: expect.any(String) }] });
      expect(others).toEqual([]);
      const [program, ...words] = finding!.steps[0]!.text.split(" ");
      expect(program).toBe("afterimage");
      // Nobody is here to type the stream's name.
      const command = spawnCli([...words, "--yes"], env);
      expect(await command.exited()).toEqual({ code: 0, signal: null });
      expect(await errors()).toEqual([]);
    } finally {
      for (const statement of [...EMPTY, DROP_SLOT]) await database.client.query(statement);
    }
  });
});
