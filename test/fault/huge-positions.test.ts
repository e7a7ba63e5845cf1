// A database that has come far: LSNs above 2^63, OIDs above 2^31, and transaction ids that wrap around at 2^32 while
// the daemon is killed and started again. Nothing is lost, doubled or out of order, and every number is the right one.
import pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from "vitest";
import type { PostgresServer } from "../../dev/servers/embedded-postgres.ts";
import { startPostgres } from "../../dev/servers/servers.ts";
import type { ChangeEvent } from "../../src/event/change-event.ts";
import { parseLsn } from "../../src/event/lsn.ts";
import { parseSchema } from "../../src/event/schema.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { resetWal } from "../support/reset-wal.ts";
import { readTopic } from "../support/topics.ts";

// Neither a signed integer nor a double holds it. Above 2^53 alone the latter would not show: LSNs are multiples of 8.
const LSN = parseLsn("F0000000/1000000");
const XIDS = 2n ** 32n;
const NEXT_XID = XIDS + 4_294_966_500n;
const OID = 3_000_000_000;

async function ask(url: string, ...statements: string[]): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    let rows: Record<string, unknown>[] = [];
    for (const statement of statements) ({ rows } = await client.query(statement));
    return rows;
  } finally {
    await client.end();
  }
}

const rowOf = ({ after }: ChangeEvent) => after as Readonly<Record<string, unknown>>;

describe.each([15, 16, 17, 18] as const)("PostgreSQL %i", (version) => {
  let server: PostgresServer;
  let stream: CapturedStream;

  beforeAll(async () => {
    server = await startPostgres({ version, settings: { autovacuum: "off" } });
    // What happened before the jump is forgotten by the server, so that no row may depend on it.
    await ask(server.address.replace(/postgres$/, "template1"), "VACUUM FREEZE");
    await ask(server.address, "VACUUM FREEZE");
    await server.stop();
    await resetWal(server.data, { lsn: LSN, nextXid: NEXT_XID, nextOid: OID });
    await server.start();
  });
  afterAll(() => server?.remove());

  beforeEach(async () => {
    stream = await CapturedStream.create(
      `CREATE TYPE mood AS ENUM ('calm', 'wild');
       CREATE TABLE t (id int PRIMARY KEY, xid xid8 DEFAULT pg_current_xact_id(), mood mood, pointer oid);
       CREATE TABLE full_images (id int PRIMARY KEY, a text); ALTER TABLE full_images REPLICA IDENTITY FULL;
       CREATE TABLE computed (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED);
       CREATE PROCEDURE write(first int, last int) LANGUAGE plpgsql AS $$
       BEGIN
         FOR one IN first .. last LOOP
           INSERT INTO t (id, mood, pointer) VALUES (one, 'wild', 4294967295);
           COMMIT;
         END LOOP;
       END $$`,
      {},
      { postgresUrl: server.address, brokers: inject("brokers") },
    );
  });
  afterEach(() => stream?.drop());

  test("streams across all these limits", async () => {
    const [about] = await ask(
      stream.database.url,
      "SELECT pg_current_wal_lsn()::text AS lsn, pg_current_xact_id()::text AS xid, 't'::regclass::oid::text AS oid, 'mood'::regtype::oid::text AS type",
    );
    expect(parseLsn(String(about!.lsn))).toBeGreaterThan(2n ** 63n);
    expect(Number(about!.oid)).toBeGreaterThan(2 ** 31);
    expect(Number(about!.type)).toBeGreaterThan(2 ** 31);
    expect(BigInt(String(about!.xid))).toBeGreaterThan(NEXT_XID);

    // What is written of a table before its first row is what its rows will have.
    const schemas = (await readTopic(stream.brokers, `${stream.stream}.schemas`)).map(({ value }) =>
      parseSchema(value!),
    );
    const computed = schemas.find(({ table }) => table === "public.computed")!;
    expect(computed.columns.map(({ name }) => name)).toEqual(["id"]);

    await stream.sql("CALL write(1, 200)");
    await stream.published();
    const writing = stream.sql("CALL write(201, 900)");
    await stream.daemon.kill();
    await writing;
    await stream.start();
    await stream.sql("CALL write(901, 1200)");
    await server.restart({ mode: "immediate" });
    await ask(
      stream.database.url,
      "CALL write(1201, 1300)",
      "BEGIN",
      "SAVEPOINT a",
      "DELETE FROM t WHERE id <= 3",
      "COMMIT",
      // Minor versions that are refused say null of the column's old value.
      "INSERT INTO full_images VALUES (1, 'one')",
      "ALTER TABLE full_images ADD COLUMN b bool DEFAULT false NOT NULL",
      "UPDATE full_images SET a = 'two'",
    );

    const all = await stream.events();
    expect(all.map(({ sequence }) => sequence)).toEqual(all.map((_, i) => i + 1));
    // A column that is added with a value makes the table be read anew, beside these.
    const events = all.filter(({ operation }) => ["insert", "update", "delete"].includes(operation));
    expect(events).toHaveLength(1305);
    const [inserts, deletes] = [events.slice(0, 1300), events.slice(1300, 1303)];
    expect(inserts.map((event) => rowOf(event).id)).toEqual(Array.from({ length: 1300 }, (_, i) => i + 1));
    expect(deletes.map(({ operation, key }) => [operation, key])).toEqual([1, 2, 3].map((id) => ["delete", { id }]));
    expect(events.at(-1)).toMatchObject({
      before: { id: 1, a: "one", b: false },
      after: { id: 1, a: "two", b: false },
    });
    const fullIds = inserts.map((event) => BigInt(String(rowOf(event).xid)));
    expect(inserts.map(({ transaction }) => transaction.id)).toEqual(fullIds.map((id) => String(id % XIDS)));
    expect([fullIds[0]! < 2n * XIDS, fullIds.at(-1)! > 2n * XIDS]).toEqual([true, true]);
    for (const [index, { after, transaction }] of inserts.entries()) {
      expect(after).toMatchObject({ mood: "wild", pointer: 4_294_967_295 });
      expect(parseLsn(transaction.lsn)).toBeGreaterThan(
        index === 0 ? LSN : parseLsn(inserts[index - 1]!.transaction.lsn),
      );
    }
    const progress = (await stream.progress())!;
    expect(progress.endLsn).toBeGreaterThan(parseLsn(events.at(-1)!.transaction.lsn));
  });
});
