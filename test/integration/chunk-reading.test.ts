// One chunk of a real table: what is left behind when it can't be read.
import type pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { CapturedTable } from "../../src/capture/captured-table.ts";
import type { Window } from "../../src/capture/table-watch.ts";
import { ChunkReading } from "../../src/daemon/chunk-reading.ts";
import { SnapshotBook } from "../../src/daemon/snapshot-book.ts";
import { TableShare } from "../../src/daemon/table-share.ts";
import { toBeRead } from "../../src/daemon/table-snapshot.ts";
import { closeSql, connectSql } from "../../src/source/session.ts";
import { SnapshotReader } from "../../src/source/snapshot-reader.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { lsn, rowEncoder } from "../unit/event/tables.ts";

let database: TestDatabase;
let client: pg.Client;
let publication: number;
let table: CapturedTable;
beforeAll(async () => {
  database = await createDatabase();
  await database.client.query(
    "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT generate_series(1, 9); CREATE PUBLICATION p FOR TABLE t",
  );
  const { rows } = await database.client.query("SELECT 't'::regclass::oid AS oid, oid AS p FROM pg_publication");
  publication = rows[0].p;
  const columns = [["id", "int4"] as const, ["v", "text"] as const];
  table = { encoder: rowEncoder(columns, { table: "t", oid: rows[0].oid }), topic: "t", partitions: 1 };
  client = await connectSql({ url: database.url }, "a chunk");
});
afterAll(async () => {
  await closeSql(client);
  await database?.drop();
});

/** The first chunk of a snapshot; `windows`: all that were opened for it. */
async function read(where: string | null, described: CapturedTable | null, known = table) {
  const book = new SnapshotBook([toBeRead(known, { where })], [known]);
  const share = new TableShare(book, book.state[0]!);
  const windows: Window[] = [];
  const open = share.watch.open.bind(share.watch);
  share.watch.open = () => {
    windows.push(open());
    return windows.at(-1)!;
  };
  const parts = {
    ...{ book, share, where, epoch: 1, maxBytes: 1000 },
    reader: new SnapshotReader(client, publication),
    describe: async () => described,
    signal: new AbortController().signal,
    place: async () => undefined,
    ask: () => undefined,
    nudge: async () => undefined,
    writers: async () => [],
    holders: async () => [],
    waits: () => undefined,
    idle: () => 0,
    employ: () => undefined,
  };
  const chunk = new ChunkReading(parts, known).read({ range: share.take()!, keys: null });
  const result = await chunk.catch((error) => error);
  await client.query("ROLLBACK"); // whoever fails leaves that to the session's end
  share.watch.note({
    table,
    change: { operation: "insert", new: ["5", "x"], previousKey: null },
    transaction: { id: "7", epoch: 1, commitLsn: lsn(70), timestamp: "" },
    sequence: 1,
    index: 1,
    message: 1,
    rest: 0,
    last: true,
  });
  return { result, noted: windows.map(({ noted }) => noted), order: book.state[0]!.order };
}

test("rows that were read are told apart from events until they are put", async () => {
  const { result, noted, order } = await read(null, table);
  expect(result.rows).toHaveLength(9);
  expect(noted).toEqual([1]);
  expect(order).toEqual(["id:23:0"]);
});

test("of a table that has gone nothing is noted any more, though others read on", async () => {
  expect(await read(null, null)).toMatchObject({ result: null, noted: [0] });
});

test("a condition of a column that is gone ends it, and is not tried for ever", async () => {
  const { result, noted } = await read("gone = 1", table);
  expect(result).toMatchObject({ code: "POSTGRES_QUERY_FAILED", cause: { code: "42703" } });
  expect(noted).toEqual([0]);
});

test("a key whose column is not there ends it by name", async () => {
  const other = rowEncoder([["uid", "int4"]], { table: "t", oid: table.encoder.schema.oid });
  const described = { ...table, encoder: other };
  const { result } = await read(null, described, described);
  expect(result).toMatchObject({ code: "SNAPSHOT_KEY_GONE", message: expect.stringContaining("public.t") });
});
