// A consumer of a products table on the tests' Kafka, with the topic's writer and the file of the view.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { inject, onTestFinished } from "vitest";
import {
  createConsumer,
  type Registration,
  type SqliteTransaction,
  sqliteStore,
  type TableHandlers,
} from "../../src/sdk/index.ts";
import { INT4, INT8, removeTopics, StreamWriter, TEXT } from "./stream-writer.ts";
import { waitFor } from "./wait-for.ts";

export const TABLE = "public.products";
export const COLUMNS = [
  ["id", INT8, 1],
  ["name", TEXT, null],
  ["body", TEXT, null],
  ["stock", INT4, null],
] as const;
export const SETUP = "CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT, body TEXT, stock INTEGER)";

export const mirror: TableHandlers<SqliteTransaction> = {
  upsert: (row, { tx }) => tx.upsert("products", row),
  remove: (key, { tx }) => tx.delete("products", key),
  clear: ({ tx }) => tx.clear("products"),
};

export function temporaryFile(): string {
  const folder = mkdtempSync(join(tmpdir(), "afterimage-sdk-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return join(folder, "view.db");
}

export async function openWriter(stream: string, partitions = 4): Promise<StreamWriter> {
  const writer = await StreamWriter.open({ stream, tables: [{ table: TABLE, columns: COLUMNS }], partitions });
  onTestFinished(async () => {
    await writer.close();
    await removeTopics(writer.topics.values());
  });
  return writer;
}

export function start(
  stream: string,
  file: string,
  registration: Registration<SqliteTransaction> = mirror,
  brokers = inject("brokers"),
) {
  const said: string[] = [];
  const consumer = createConsumer({
    kafka: { brokers },
    stream,
    group: "test",
    store: sqliteStore(file, { setup: SETUP }),
    logger: { info: (line) => said.push(line), warn: (line) => said.push(line) },
  }).register(TABLE, registration);
  const ended = consumer.run();
  ended.catch(() => undefined);
  onTestFinished(() => consumer.stop());
  return {
    consumer,
    ended,
    said,
    reaches: (sequence: number) =>
      waitFor(
        async () => {
          const { state, sequence: reached, lag } = consumer.position();
          if (state === "failed") {
            await ended;
          }
          return reached >= sequence && lag === 0;
        },
        { what: `sequence ${sequence} in the view` },
      ),
  };
}

export function query(file: string, sql: string): Record<string, unknown>[] {
  const database = new DatabaseSync(file, { readOnly: true, timeout: 5_000 });
  try {
    return database
      .prepare(sql)
      .all()
      .map((row) => ({ ...row }));
  } finally {
    database.close();
  }
}

export const row = (id: number, name: string, body: string | null = "text") => ({
  id: String(id),
  name,
  body,
  stock: "1",
});
