// A products view in a fresh SQLite file, with the partitions of its topic fed by hand.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { onTestFinished } from "vitest";
import type { ChangeEvent, WireRow } from "../../../src/event/change-event.ts";
import { Applier } from "../../../src/sdk/consumer/applier.ts";
import type { Registration, TableHandlers } from "../../../src/sdk/consumer/handlers.ts";
import { PartitionQueue } from "../../../src/sdk/consumer/partition-queue.ts";
import { sqliteStore } from "../../../src/sdk/store/sqlite-store.ts";
import type { SqliteTransaction } from "../../../src/sdk/store/sqlite-transaction.ts";

export const TABLE = "public.products";
export const SETUP = "CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT, body TEXT, stock INTEGER)";

export const mirror: TableHandlers<SqliteTransaction> = {
  upsert: (row, { tx }) => tx.upsert("products", row),
  remove: (key, { tx }) => tx.delete("products", key),
  clear: ({ tx }) => tx.clear("products"),
};

export function temporaryFile(name = "view.db"): string {
  const folder = mkdtempSync(join(tmpdir(), "afterimage-sdk-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return join(folder, name);
}

/** A session on the file with its queues, as after a start. */
export async function openView(
  file: string,
  registration: Registration<SqliteTransaction> = mirror,
  partitions = 2,
  signal = new AbortController().signal,
) {
  const session = await sqliteStore(file, { setup: SETUP }).open({ stream: "shop", group: "test" });
  const checkpoints = await session.claim("shop.public.products", "topic-1", partitions);
  const queues = checkpoints.map((checkpoint) => new PartitionQueue(TABLE, checkpoint));
  const applier = new Applier(session, 1000, signal);
  return {
    session,
    queues,
    feed(partition: number, ...events: ChangeEvent[]) {
      const queue = queues[partition]!;
      const records = events.map((event, at) => ({
        offset: queue.fetchOffset + BigInt(at),
        value: Buffer.from(JSON.stringify(event)),
      }));
      const next = queue.fetchOffset + BigInt(events.length);
      queue.push(records, next, next);
    },
    apply: () => applier.applySlice([{ table: TABLE, registration, queues }]),
    sequences: () => queues.map(({ stored }) => stored.sequence),
    close: () => session.close(),
  };
}

export function rowsOf(file: string): unknown[] {
  const database = new DatabaseSync(file, { readOnly: true, timeout: 5_000 });
  try {
    return database
      .prepare("SELECT * FROM products ORDER BY id")
      .all()
      .map((row) => ({ ...row }));
  } finally {
    database.close();
  }
}

const common = (sequence: number) => ({
  v: 1 as const,
  table: TABLE,
  timestamp: "2026-11-22T18:00:00.123456Z",
  sequence,
  transaction: { id: "742", epoch: 1, lsn: "0/16B3748", index: sequence },
  schema: 1,
});

const keyOf = (row: WireRow): WireRow => ({ id: row.id! });

export const insert = (sequence: number, after: WireRow, more: object = {}): ChangeEvent =>
  ({ ...common(sequence), operation: "insert", key: keyOf(after), before: null, after, ...more }) as ChangeEvent;

export const update = (sequence: number, after: WireRow, unchanged?: string[]): ChangeEvent =>
  ({
    ...common(sequence),
    operation: "update",
    key: keyOf(after),
    before: null,
    after,
    ...(unchanged && { unchanged }),
  }) as ChangeEvent;

export const remove = (sequence: number, key: WireRow, more: object = {}): ChangeEvent =>
  ({ ...common(sequence), operation: "delete", key, before: key, after: null, ...more }) as ChangeEvent;

export const truncate = (sequence: number, copies = 2): ChangeEvent =>
  ({ ...common(sequence), operation: "truncate", key: null, before: null, after: null, copies }) as ChangeEvent;

export const gap = (sequence: number, copies = 2): ChangeEvent =>
  ({ ...truncate(sequence, copies), operation: "gap", schema: null, reason: "epoch" }) as ChangeEvent;

/** The gap that opens a snapshot, and the sweep that ends it. */
export const opening = (sequence: number, copies = 2): ChangeEvent =>
  ({ ...gap(sequence, copies), reason: "snapshot: every row follows" }) as ChangeEvent;

export const sweep = (sequence: number, since: number, copies = 2): ChangeEvent =>
  ({ ...truncate(sequence, copies), operation: "sweep", schema: null, since }) as ChangeEvent;

export const read = (sequence: number, after: WireRow): ChangeEvent =>
  ({ ...insert(sequence, after), operation: "read" }) as ChangeEvent;
