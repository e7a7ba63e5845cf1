// What `init` writes, used as it says: an administrator runs the SQL, doctor finds nothing wrong, and the daemon streams
// as the role that it made.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import type { OwnServer } from "../../dev/servers/servers.ts";
import { parseEnvelope } from "../../src/event/envelope.ts";
import { quoteIdentifier, tableTopic } from "../../src/event/identifier.ts";
import type { Finding } from "../../src/source/finding.ts";
import { spawnCli } from "../support/daemon.ts";
import { createDatabase, type TestDatabase, unique, uniqueStream } from "../support/database.ts";
import { wrong } from "../support/findings.ts";
import { startQuietPostgres } from "../support/quiet-postgres.ts";
import { splitSql } from "../support/split-sql.ts";
import { deleteTopics, readTopic } from "../support/topics.ts";
import { waitFor } from "../support/wait-for.ts";

const stream = uniqueStream();
const role = unique(`cdc "it's"`);
const folder = mkdtempSync(join(tmpdir(), "afterimage-init-"));
let server: OwnServer;
let database: TestDatabase;
beforeAll(async () => {
  server = await startQuietPostgres();
  database = await createDatabase(server.address);
});
afterAll(async () => {
  await database.client.query(`DROP OWNED BY ${quoteIdentifier(role)}; DROP ROLE ${quoteIdentifier(role)}`);
  await database.drop();
  await server.remove();
  await deleteTopics(inject("brokers"), `${stream}.`);
  rmSync(folder, { recursive: true });
});

async function run(...args: string[]) {
  const command = spawnCli(args, { AFTERIMAGE_ADMIN_PORT: "0" }, folder);
  const { code } = await command.exited();
  return { code, stdout: command.stdout(), stderr: command.stderr() };
}

/** Statement by statement, as psql does; gives back what the server warned of. */
async function runSql(): Promise<string[]> {
  const warnings: string[] = [];
  const listen = ({ message }: { message?: string | undefined }) => warnings.push(message ?? "");
  database.client.on("notice", listen);
  for (const statement of splitSql(readFileSync(join(folder, `${stream}.sql`), "utf8"))) {
    await database.client.query(statement);
  }
  database.client.off("notice", listen);
  return warnings;
}

const published = async () => {
  const { rows } = await database.client.query(
    "SELECT schemaname || '.' || tablename AS name FROM pg_publication_tables WHERE pubname = $1 ORDER BY 1",
    [`afterimage_${stream}`],
  );
  return rows.map(({ name }) => name);
};

test("init, the administrator, doctor, start", async () => {
  await database.client.query(`
    CREATE TABLE plain (id int PRIMARY KEY); INSERT INTO plain VALUES (1);
    CREATE TABLE audit (id int PRIMARY KEY);
    CREATE TABLE bare (note text);
    CREATE SCHEMA "a.b"; CREATE TABLE "a.b"."c'"";d%I" (id int PRIMARY KEY);
    CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY RANGE (id);
    CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10)`);
  const url = new URL(database.url);
  Object.assign(url, { username: encodeURIComponent(role), password: "" });
  const secret = join(folder, "secret");
  writeFileSync(secret, "a'pass\n");
  const flags = ["--tables", `public.*,!public.audit,"a.b".*`, "--snapshot", "initial", "--password-file", secret];
  const where = ["--stream", stream, "--postgres", url.href, "--kafka", inject("brokers").join(",")];
  const written = await run("init", ...where, ...flags);
  expect([written.code, written.stderr]).toEqual([0, ""]);

  expect(await runSql()).toEqual(["Table public.bare is left out: it has no usable replica identity."]);
  await database.client.query("ALTER TABLE public.bare REPLICA IDENTITY FULL");
  expect(await runSql()).toEqual([]);
  expect(await published()).toEqual([`a.b.c'";d%I`, "public.bare", "public.parted_1", "public.plain"]);
  await database.client.query(`ALTER ROLE ${quoteIdentifier(role)} PASSWORD 'a''pass'`);

  const config = ["--config", `${stream}.yaml`];
  const judged = await run("doctor", "--json", ...config);
  const findings = JSON.parse(judged.stdout) as Finding[];
  expect(wrong(findings)).toEqual([]);
  expect(judged.code).toBe(0);

  const daemon = spawnCli(["start", ...config], { AFTERIMAGE_ADMIN_PORT: "0" }, folder);
  try {
    await daemon.says(/"state":"(streaming|snapshotting)"/, { timeout: 30_000 });
    await database.client.query(`INSERT INTO "a.b"."c'"";d%I" VALUES (1); INSERT INTO public.parted VALUES (1)`);
    for (const [schema, table, operation] of [
      ["public", "plain", "read"],
      ["a.b", `c'";d%I`, "insert"],
      ["public", "parted_1", "insert"],
    ] as const) {
      const topic = tableTopic(stream, schema, table);
      await waitFor(
        async () => {
          const records = await readTopic(inject("brokers"), topic).catch(() => []); // not made yet
          return records.some(({ value }) => parseEnvelope(value ?? "null").operation === operation);
        },
        { what: `the ${operation} of ${table}` },
      );
    }
  } finally {
    await daemon.kill("SIGTERM");
  }
});

test("the SQL refuses another database before it makes anything", async () => {
  const other = await createDatabase(server.address);
  const text = splitSql(readFileSync(join(folder, `${stream}.sql`), "utf8"));
  await expect(
    (async () => {
      for (const statement of text) await other.client.query(statement);
    })(),
  ).rejects.toThrow("not the one that the file is for");
  const { rows } = await other.client.query("SELECT pubname FROM pg_publication");
  expect(rows).toEqual([]);
  await other.drop();
});
