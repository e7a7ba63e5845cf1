// A small workload that passes everything the pipeline can meet: key changes, unchanged TOAST values, rollbacks,
// messages, truncates, transactions larger than a batch, and tables that are not captured.
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";

export const SETUP = `
  CREATE TABLE t (id int PRIMARY KEY, note text, body text);
  ALTER TABLE t ALTER body SET STORAGE EXTERNAL;
  CREATE TABLE u (id int PRIMARY KEY, note text);
  CREATE TABLE noise (id int);`;

/** The smallest batches there are, so that a transaction of a few hundred rows goes in pieces. */
export const SETTINGS = {
  AFTERIMAGE_TABLES: "*.*,!public.noise",
  AFTERIMAGE_BATCH_MAX_BYTES: "64KiB",
  AFTERIMAGE_BATCH_LINGER: "0ms",
};

/** In one `during`: enough for all that there is, and no more than a start can catch up with. */
const MOST_ROUNDS = 20;

export class Workload {
  readonly #url: string;
  #round = 0;

  constructor(url: string) {
    this.#url = url;
  }

  /** Writes while `work` runs; with `quietly` only what is not captured, and for as long as it takes. */
  async during<T>(work: () => Promise<T>, quietly = false): Promise<T> {
    const over = new AbortController();
    const writing = this.#write(over.signal, quietly);
    try {
      return await work();
    } finally {
      over.abort();
      await writing;
    }
  }

  async #write(signal: AbortSignal, quietly: boolean): Promise<void> {
    const client = new pg.Client({ connectionString: this.#url });
    await client.connect();
    try {
      for (let rounds = 0; !signal.aborted && (quietly || rounds < MOST_ROUNDS); rounds++) {
        for (const statement of quietly ? ["INSERT INTO noise VALUES (0)"] : statements(++this.#round)) {
          await client.query(statement);
        }
        // A pace that small Kafka transactions can follow on a busy machine.
        await sleep(20, undefined, { signal }).catch(() => undefined); // the loop ends
      }
    } finally {
      await client.end();
    }
  }
}

function statements(round: number): string[] {
  const id = round * 1_000;
  const steps = [
    "BEGIN",
    `INSERT INTO t SELECT g, 'new', repeat('x', 2500) FROM generate_series(${id}, ${id + 1}) g`,
    `INSERT INTO u VALUES (${id}, 'new')`,
    `UPDATE t SET note = 'seen' WHERE id = ${id}`,
    `UPDATE t SET id = ${id + 9} WHERE id = ${id + 1}`,
    `INSERT INTO t VALUES (${id + 2}, NULL, 'small')`,
    `DELETE FROM t WHERE id = ${id + 2}`,
    "SELECT pg_logical_emit_message(true, 'test', 'counts')",
  ];
  if (round % 10 === 5) steps.push("TRUNCATE u");
  if (round % 20 === 10) {
    steps.push(`INSERT INTO u SELECT g, repeat('y', 1500) FROM generate_series(${id + 1}, ${id + 150}) g`);
  }
  return [...steps, round % 7 === 3 ? "ROLLBACK" : "COMMIT"];
}
