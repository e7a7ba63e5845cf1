// The checks before a start against a real Postgres; each remedy is run as it is printed, and then nothing is found.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { OwnServer } from "../../dev/servers/servers.ts";
import { quoteIdentifier } from "../../src/event/identifier.ts";
import type { Finding } from "../../src/source/finding.ts";
import { preflightPostgres } from "../../src/source/preflight.ts";
import { createDatabase, type TestDatabase, unique } from "../support/database.ts";
import { wrong } from "../support/findings.ts";
import { startQuietPostgres } from "../support/quiet-postgres.ts";

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

const NOW = { waitMs: 0 };

interface Choice {
  url?: string;
  publication?: string;
  captures?: (table: { table: string; ancestors: readonly { table: string }[] }) => boolean;
  keyless?: (schema: string, table: string) => boolean;
}

async function check(choice: Choice = {}): Promise<readonly Finding[]> {
  const { url = database.url, publication = "p", captures = () => true, keyless = () => false } = choice;
  const target = { url, slot: unique("slot"), publication };
  return (await preflightPostgres(target, { captures, keyless }, NOW)).findings;
}

const only =
  (wanted: string) =>
  ({ table }: { table: string }) =>
    table === wanted;

function withUrl(change: (url: URL) => void): string {
  const url = new URL(database.url);
  change(url);
  return url.href;
}

describe("the connection", () => {
  test("all is well: only ok findings", async () => {
    await database.client.query("CREATE TABLE fine (id int PRIMARY KEY)");
    const findings = await check({ captures: only("fine") });
    expect(wrong(findings)).toEqual([]);
    expect(findings.map(({ code }) => code)).toEqual([
      "POSTGRES_UNREACHABLE",
      "POSTGRES_VERSION",
      "WAL_LEVEL",
      "SLOTS_EXHAUSTED",
      "WALSENDERS_EXHAUSTED",
      "REPLICATION_REFUSED",
      "SLOT_WAL_UNBOUNDED",
      "TABLE_WITHOUT_IDENTITY",
    ]);
  });

  test.each([
    [
      "a user that isn't there",
      (url: URL) => Object.assign(url, { username: "nobody_here", password: "s3cr3t" }),
      "POSTGRES_AUTHENTICATION_FAILED",
    ],
    [
      "a database that isn't there",
      (url: URL) => Object.assign(url, { pathname: "/not_there" }),
      "POSTGRES_DATABASE_MISSING",
    ],
    [
      "a port where nothing listens",
      (url: URL) => Object.assign(url, { port: "1", password: "s3cr3t" }),
      "POSTGRES_UNREACHABLE",
    ],
    [
      "TLS where there is none",
      (url: URL) => Object.assign(url, { search: "?sslmode=verify-full" }),
      "POSTGRES_TLS_FAILED",
    ],
  ])("%s", async (_, change, code) => {
    const findings = await check({ url: withUrl(change) });
    expect(findings).toEqual([expect.objectContaining({ code, severity: "error" })]);
    expect(JSON.stringify(findings)).not.toContain("s3cr3t");
  });

  test("a server that is not up is waited for, which is said once", async () => {
    const lines: string[] = [];
    const { findings } = await preflightPostgres(
      { url: "postgres://u:s3cr3t@127.0.0.1:1/d", slot: "s", publication: "p" },
      { captures: () => true, keyless: () => false },
      { waitMs: 1200, onWaiting: (line) => lines.push(line) },
    );
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain("127.0.0.1:1 does not answer yet (ECONNREFUSED)");
    expect(findings[0]).toMatchObject({ code: "POSTGRES_UNREACHABLE" });
    expect(findings[0]!.what).toContain("was tried for 1 s");
  });

  test("a user who may not replicate, own or create; the remedies mend it", async () => {
    const role = unique("afterimage_role");
    await database.client.query(`CREATE ROLE ${role} LOGIN PASSWORD 'x'`);
    await database.client.query("CREATE TABLE foreign_owned (id int PRIMARY KEY)");
    const url = withUrl((each) => Object.assign(each, { username: role, password: "x" }));
    const choice = { url, captures: only("foreign_owned"), publication: unique("pub") };
    const findings = wrong(await check(choice));
    expect(findings.map(({ code }) => code)).toEqual(["REPLICATION_REFUSED", "PUBLICATION_NOT_ALLOWED"]);
    await database.client.query(/ALTER ROLE \S+ REPLICATION;/.exec(findings[0]!.remedy)![0]);
    await database.client.query(/CREATE PUBLICATION .*;/.exec(findings[1]!.remedy)![0]);
    expect(wrong(await check(choice))).toEqual([]);
    await database.client.query(`DROP PUBLICATION ${choice.publication}; DROP ROLE ${role}`);
  });

  test("a slot of our name for something else", async () => {
    const slot = unique("slot");
    await database.client.query("SELECT pg_create_logical_replication_slot($1, 'test_decoding')", [slot]);
    const { findings } = await preflightPostgres(
      { url: database.url, slot, publication: "p" },
      { captures: only("fine"), keyless: () => false },
      NOW,
    );
    expect(wrong(findings)).toEqual([expect.objectContaining({ code: "SLOT_FOREIGN" })]);
    await database.client.query("SELECT pg_drop_replication_slot($1)", [slot]);
  });
});

describe("tables", () => {
  /** Makes the table, expects the finding, runs the remedy's first statement, expects nothing more. */
  async function mends(table: string, ddl: string, code: string, sql: RegExp): Promise<void> {
    await database.client.query(ddl);
    const findings = wrong(await check({ captures: only(table) }));
    expect(findings).toEqual([expect.objectContaining({ code, severity: "error" })]);
    const statement = sql.exec(findings[0]!.remedy)?.[0];
    expect(statement, findings[0]!.remedy).toBeDefined();
    await database.client.query(statement!);
    expect(wrong(await check({ captures: only(table) }))).toEqual([]);
    await worksWhenPublished(table);
  }

  /** What the check accepts, Postgres must accept once the table is published. */
  async function worksWhenPublished(table: string): Promise<void> {
    const publication = unique("pub");
    const name = quoteIdentifier(table);
    await database.client.query(`CREATE PUBLICATION ${publication} FOR TABLE ${name}`);
    await database.client.query(`UPDATE ${name} SET note = 'x'; DELETE FROM ${name}`);
    await database.client.query(`DROP PUBLICATION ${publication}`);
  }

  const ANY = /^ALTER TABLE [^;]*;/;

  test("no key at all", () =>
    mends(
      "bare",
      "CREATE TABLE bare (note text)",
      "TABLE_WITHOUT_IDENTITY",
      /^ALTER TABLE \S+ REPLICA IDENTITY FULL;/,
    ));

  test("no primary key, but a unique index that serves", () =>
    mends(
      "uniq",
      `CREATE TABLE uniq (a int NOT NULL, note text); CREATE UNIQUE INDEX "Uniq a" ON uniq (a) INCLUDE (note)`,
      "TABLE_WITHOUT_IDENTITY",
      /^ALTER TABLE \S+ REPLICA IDENTITY USING INDEX "Uniq a";/,
    ));

  test("unique indexes that don't serve", () =>
    mends(
      "nearly",
      `CREATE TABLE nearly (a int, b int NOT NULL, note text, UNIQUE (a), UNIQUE (b) DEFERRABLE);
       CREATE UNIQUE INDEX ON nearly ((b + 1)); CREATE UNIQUE INDEX ON nearly (b) WHERE b > 0`,
      "TABLE_WITHOUT_IDENTITY",
      /^ALTER TABLE \S+ REPLICA IDENTITY FULL;/,
    ));

  test("identity NOTHING beside a primary key", () =>
    mends(
      "nothing",
      "CREATE TABLE nothing (id int PRIMARY KEY, note text); ALTER TABLE nothing REPLICA IDENTITY NOTHING",
      "TABLE_WITHOUT_IDENTITY",
      /^ALTER TABLE \S+ REPLICA IDENTITY DEFAULT;/,
    ));

  test("an identity index that was dropped, and a name that needs quotes", () =>
    mends(
      'odd."name',
      `CREATE TABLE "odd.""name" (id int NOT NULL, note text); CREATE UNIQUE INDEX gone ON "odd.""name" (id);
       ALTER TABLE "odd.""name" REPLICA IDENTITY USING INDEX gone; DROP INDEX gone`,
      "TABLE_WITHOUT_IDENTITY",
      /^ALTER TABLE "public"."odd.""name" REPLICA IDENTITY FULL;/,
    ));

  test("a deferrable primary key", () =>
    mends(
      "late",
      "CREATE TABLE late (b int, a int, note text, PRIMARY KEY (a, b) DEFERRABLE)",
      "KEY_DEFERRABLE",
      /^ALTER TABLE \S+ DROP CONSTRAINT "late_pkey", ADD PRIMARY KEY \("a", "b"\);/,
    ));

  test("a deferrable primary key under FULL may be declared keyless", async () => {
    await database.client.query(
      "CREATE TABLE late_full (id int PRIMARY KEY DEFERRABLE, note text); ALTER TABLE late_full REPLICA IDENTITY FULL",
    );
    const captures = only("late_full");
    expect(wrong(await check({ captures })).map(({ code }) => code)).toEqual(["KEY_DEFERRABLE"]);
    expect(wrong(await check({ captures, keyless: (_, table) => table === "late_full" }))).toEqual([]);
    await worksWhenPublished("late_full");
  });

  test("a generated column under FULL", () =>
    mends(
      "generated",
      `CREATE TABLE generated (id int PRIMARY KEY, note text, twice int GENERATED ALWAYS AS (id * 2) STORED);
       ALTER TABLE generated REPLICA IDENTITY FULL`,
      "GENERATED_IDENTITY",
      ANY,
    ));

  test("a generated column outside the key is no matter", async () => {
    await database.client.query(
      "CREATE TABLE generated_too (id int PRIMARY KEY, note text, twice int GENERATED ALWAYS AS (id * 2) STORED)",
    );
    expect(wrong(await check({ captures: only("generated_too") }))).toEqual([]);
    await worksWhenPublished("generated_too");
  });

  test("partitions are judged, not the table above them", async () => {
    await database.client.query(
      `CREATE TABLE parted (id int, note text) PARTITION BY RANGE (id);
       CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10)`,
    );
    const captures = ({ ancestors }: { ancestors: readonly { table: string }[] }) => ancestors[0]?.table === "parted";
    const findings = wrong(await check({ captures }));
    expect(findings).toEqual([expect.objectContaining({ code: "TABLE_WITHOUT_IDENTITY" })]);
    expect(findings[0]!.what).toContain("public.parted_1");
  });

  test("unlogged tables and patterns that match nothing are warned of", async () => {
    await database.client.query("CREATE UNLOGGED TABLE fleeting (id int PRIMARY KEY)");
    const findings = wrong(await check({ captures: only("fleeting") }));
    expect(findings.map(({ code, severity }) => [code, severity])).toEqual([
      ["TABLE_UNLOGGED", "warning"],
      ["TABLES_MATCH_NOTHING", "warning"],
    ]);
  });

  test("a publication of the user's is taken as it is", async () => {
    const publication = unique("pub");
    await database.client.query("CREATE TABLE theirs (note text); CREATE TABLE missed (id int PRIMARY KEY)");
    await database.client.query(`CREATE PUBLICATION ${publication} FOR TABLE theirs WITH (publish = 'insert')`);
    const captures = ({ table }: { table: string }) => table === "theirs" || table === "missed";
    const findings = wrong(await check({ captures, publication }));
    expect(findings.map(({ code }) => code)).toEqual(["PUBLICATION_OPERATIONS", "TABLE_NOT_PUBLISHED"]);
    await database.client.query(findings[1]!.remedy);
    expect(wrong(await check({ captures, publication })).map(({ code }) => code)).toEqual(["PUBLICATION_OPERATIONS"]);
  });
});
