// Checks that need a Postgres of their own, since they change its settings or stop it; and a pooler in front of it.
import { createServer, connect as dial, type Server, type Socket } from "node:net";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { OwnServer } from "../../dev/servers/servers.ts";
import type { Finding } from "../../src/source/finding.ts";
import { preflightPostgres } from "../../src/source/preflight.ts";
import { spawnCli } from "../support/daemon.ts";
import { startQuietPostgres } from "../support/quiet-postgres.ts";

let server: OwnServer;
beforeAll(async () => {
  server = await startQuietPostgres();
});
afterAll(() => server.remove());

async function check(url = server.address, waitMs = 0, onWaiting?: (line: string) => void): Promise<Finding[]> {
  const { findings } = await preflightPostgres(
    { url, slot: "doctor_slot", publication: "doctor_publication" },
    { captures: () => true, keyless: () => false },
    { waitMs, ...(onWaiting === undefined ? {} : { onWaiting }) },
  );
  // The database is empty, which is no matter here.
  return findings.filter(
    ({ severity, code }) => (severity === "error" || severity === "warning") && code !== "TABLES_MATCH_NOTHING",
  );
}

const codes = async (...args: Parameters<typeof check>) => (await check(...args)).map(({ code }) => code);

async function sql(...statements: string[]): Promise<void> {
  const client = new pg.Client({ connectionString: server.address });
  await client.connect();
  for (const statement of statements) await client.query(statement);
  await client.end();
}

/** Runs the first statement of a remedy as it is printed, and restarts as it says. */
async function follow({ remedy }: Finding): Promise<void> {
  await sql(/ALTER SYSTEM [^;]*;/.exec(remedy)![0]);
  expect(remedy).toContain("restart Postgres");
  await server.restart();
}

test("a fit server", async () => {
  expect(await check()).toEqual([]);
});

test("a wrong password and none at all are named at once and never shown", async () => {
  for (const password of ["s3cr3t", ""]) {
    const url = new URL(server.address);
    url.password = password;
    const findings = await check(url.href, 60_000);
    expect(findings.map(({ code }) => code)).toEqual(["POSTGRES_AUTHENTICATION_FAILED"]);
    expect(JSON.stringify(findings)).not.toContain("s3cr3t");
  }
});

test("wal_level that is not logical; the remedy mends it", async () => {
  await sql("ALTER SYSTEM SET wal_level = replica");
  await server.restart();
  const [finding, ...others] = await check();
  expect(finding).toMatchObject({ code: "WAL_LEVEL", severity: "error" });
  expect(others).toEqual([]);
  await follow(finding!);
  expect(await check()).toEqual([]);
});

test("no free slot; the remedy mends it", async () => {
  await sql("ALTER SYSTEM SET max_replication_slots = 1");
  await server.restart();
  await sql("SELECT pg_create_physical_replication_slot('taken')");
  const [finding, ...others] = await check();
  expect(finding).toMatchObject({ code: "SLOTS_EXHAUSTED", severity: "error" });
  expect(others).toEqual([]);
  await follow(finding!);
  expect(await check()).toEqual([]);
  await sql("SELECT pg_drop_replication_slot('taken')");
});

test("no free walsender; the remedy mends it", async () => {
  await sql("ALTER SYSTEM SET max_wal_senders = 1");
  await server.restart();
  const taken = new pg.Client({ connectionString: server.address, replication: "database" } as pg.ClientConfig);
  taken.on("error", () => undefined); // the restart ends it
  await taken.connect();
  const findings = await check();
  expect(new Set(findings.map(({ code }) => code))).toEqual(new Set(["WALSENDERS_EXHAUSTED"]));
  await taken.end();
  await follow(findings[0]!);
  expect(await check()).toEqual([]);
});

test("a server that comes up while it is waited for", async () => {
  await server.stop();
  const lines: string[] = [];
  const checked = check(server.address, 30_000, (line) => lines.push(line));
  await server.start();
  expect(await checked).toEqual([]);
  expect(lines).toHaveLength(1);
});

test("the command shows all of it, as text and as JSON", async () => {
  await sql("CREATE TABLE bare (x int)");
  const doctor = async (...args: string[]) => {
    const command = spawnCli(["doctor", ...args], {
      AFTERIMAGE_STREAM: "doctor",
      AFTERIMAGE_POSTGRES_URL: server.address,
      AFTERIMAGE_KAFKA_BROKERS: "127.0.0.1:1",
      AFTERIMAGE_STARTUP_WAIT: "0ms",
    });
    const { code } = await command.exited();
    return { code, stdout: command.stdout() };
  };
  const text = await doctor();
  expect(text.code).toBe(4);
  expect(text.stdout).toMatch(/✓ wal_level is logical\n/);
  expect(text.stdout).toMatch(/✗ TABLE_WITHOUT_IDENTITY: .*\n {2}→ ALTER TABLE "public"."bare" REPLICA IDENTITY FULL;/);
  expect(text.stdout).toMatch(/✗ KAFKA_UNREACHABLE: /);
  expect(text.stdout).toMatch(/2 errors to mend before a start, 0 warnings\.\n$/);
  const json = JSON.parse((await doctor("--json")).stdout);
  expect(json).toContainEqual(expect.objectContaining({ code: "WAL_LEVEL", severity: "ok" }));
  await sql("DROP TABLE bare");
});

/** What PgBouncer does to a client, in front of the real server: no replication, process ids of its own. */
function startPooler(): Promise<{ url: string; listener: Server }> {
  const target = new URL(server.address);
  const refusal = Buffer.from("SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: replication\0\0");
  const listener = createServer((client: Socket) => {
    client.once("data", (startup) => {
      if (startup.includes("replication\0")) {
        const head = Buffer.alloc(5);
        head.write("E");
        head.writeInt32BE(refusal.length + 4, 1);
        client.end(Buffer.concat([head, refusal]));
        return;
      }
      const upstream = dial(Number(target.port), target.hostname, () => upstream.write(startup));
      client.on("data", (bytes) => upstream.write(bytes));
      upstream.on("data", (bytes) => client.write(withOwnProcessId(bytes)));
      for (const [one, other] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        one.on("close", () => other.destroy()).on("error", () => other.destroy());
      }
    });
    client.on("error", () => client.destroy());
  });
  return new Promise((resolve) => {
    listener.listen(0, "127.0.0.1", () => {
      const { port } = listener.address() as { port: number };
      const url = new URL(server.address);
      url.hostname = "127.0.0.1";
      url.port = String(port);
      resolve({ url: url.href, listener });
    });
  });
}

/** Changes the process id in BackendKeyData (`K`), walking the messages of one read. */
function withOwnProcessId(bytes: Buffer): Buffer {
  for (let at = 0; at + 9 <= bytes.length; at += 1 + bytes.readInt32BE(at + 1)) {
    if (bytes[at] === 0x4b) bytes.writeInt32BE(1, at + 5);
  }
  return bytes;
}

test("a pooler instead of Postgres", async () => {
  const { url, listener } = await startPooler();
  expect(await codes(url)).toEqual(["POSTGRES_POOLER"]);
  await new Promise((resolve) => listener.close(resolve));
});
