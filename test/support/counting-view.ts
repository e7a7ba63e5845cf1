// A consumer for tests to kill: mirrors a table and counts every event in the same transaction, so that one applied
// twice or never shows. Arguments: brokers, stream, table, file. Says `applied SEQUENCE` after each commit.
import { createConsumer, sqliteStore } from "../../src/sdk/index.ts";

const [brokers, stream, table, file] = process.argv.slice(2) as [string, string, string, string];

const setup = `
  CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT, stock INTEGER);
  CREATE TABLE events (sequence INTEGER NOT NULL);`;

const consumer = createConsumer({
  kafka: { brokers: brokers.split(",") },
  stream,
  group: "counting",
  store: sqliteStore(file, { setup }),
  onCommit: ({ sequence }) => void process.stdout.write(`applied ${sequence}\n`),
}).register(table, {
  upsert: (row, { tx, event }) => {
    tx.upsert("products", row);
    tx.run("INSERT INTO events VALUES (?)", event.sequence);
  },
  remove: (key, { tx, event }) => {
    tx.delete("products", key);
    tx.run("INSERT INTO events VALUES (?)", event.sequence);
  },
  clear: ({ tx, event }) => {
    tx.clear("products");
    tx.run("INSERT INTO events VALUES (?)", event.sequence);
  },
});

process.once("SIGTERM", () => void consumer.stop());
await consumer.run();
