// A writer's connection: opened anew when it is lost, and the judgement which errors belong to a workload under faults.
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import type { Statement } from "./statement.ts";

/**
 * What writers that fight over rows, and servers that are stopped and killed, are expected to answer. Anything else is
 * a mistake of the workload, or worse. https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
const EXPECTED = new Set([
  "40P01", // deadlock_detected
  "40001", // serialization_failure
  "23503", // foreign_key_violation
  "23505", // unique_violation
  "55P03", // lock_not_available
  "57014", // query_canceled
  "57P01", // admin_shutdown
  "57P02", // crash_shutdown
  "57P03", // cannot_connect_now
  "57P05", // idle_session_timeout
  "53100", // disk_full
  "53300", // too_many_connections
]);

export function isExpected(error: unknown): error is pg.DatabaseError & { code: string } {
  return (
    error instanceof pg.DatabaseError &&
    error.code !== undefined &&
    (EXPECTED.has(error.code) || error.code.startsWith("08"))
  );
}

/** The connection is gone; whether what was sent last has happened is not known. */
export class ConnectionLost extends Error {}

/** The driver has no COPY of its own, but asks the query at hand for its data. */
class CopyQuery extends pg.Query {
  readonly #rows: string;

  constructor(sql: string, rows: string, done: (error: Error | null, result?: pg.QueryResult) => void) {
    // biome-ignore lint/suspicious/noExplicitAny: the types leave out the callback
    super({ text: sql, callback: done } as any);
    this.#rows = rows;
  }

  handleCopyInResponse(connection: { sendCopyFromChunk(chunk: Buffer): void; endCopyFrom(): void }): void {
    // In pieces, as psql sends them.
    const bytes = Buffer.from(this.#rows);
    for (let at = 0; at < bytes.length; at += 8_192) connection.sendCopyFromChunk(bytes.subarray(at, at + 8_192));
    connection.endCopyFrom();
  }
}

/** What the writers' sessions are called in `pg_stat_activity`. */
export const APPLICATION_NAME = "torture workload";

// Deadlocks are wanted, waiting a second for each isn't.
const OPTIONS = "-c deadlock_timeout=30ms -c lock_timeout=20s -c idle_in_transaction_session_timeout=0";

export class Session {
  readonly #url: string;
  #client: pg.Client | null = null;

  constructor(url: string) {
    this.#url = url;
  }

  /** Tries until the server takes a connection, or `stopped`; throws what is no sign of a server that is away. */
  async connect(stopped: AbortSignal): Promise<boolean> {
    for (let pause = 20; this.#client === null; pause = Math.min(2 * pause, 500)) {
      if (stopped.aborted) return false;
      const client = new pg.Client({
        connectionString: this.#url,
        application_name: APPLICATION_NAME,
        options: OPTIONS,
        connectionTimeoutMillis: 10_000,
      });
      client.on("error", () => this.#lose(client)); // what is asked of it rejects
      client.on("end", () => this.#lose(client));
      try {
        await client.connect();
        this.#client = client;
      } catch (error) {
        client.end().catch(() => undefined); // it may never have been open
        if (error instanceof pg.DatabaseError && !isExpected(error)) throw error;
        await sleep(pause, undefined, { signal: stopped }).catch(() => undefined); // told to stop
      }
    }
    return true;
  }

  get connected(): boolean {
    return this.#client !== null;
  }

  #lose(client: pg.Client): void {
    if (this.#client === client) this.#client = null;
  }

  /** Resolves with the number of rows that the statements changed. Throws ConnectionLost, or what the server answered. */
  async run(statement: Statement): Promise<number> {
    if ("sleep" in statement) {
      await sleep(statement.sleep);
      return 0;
    }
    const client = this.#client;
    if (client === null) throw new ConnectionLost();
    try {
      const result = "copy" in statement ? await copy(client, statement) : await client.query(statement.sql);
      // Several statements in one query have several results, though the types know of one.
      const results = Array.isArray(result) ? (result as pg.QueryResult[]) : [result];
      return results.reduce((sum, { command, rowCount }) => sum + (command === "SELECT" ? 0 : (rowCount ?? 0)), 0);
    } catch (error) {
      if (error instanceof pg.DatabaseError && !isExpected(error)) throw error;
      if (!(await this.#answers(client))) {
        this.#lose(client);
        await client.end().catch(() => undefined); // gone already
        throw new ConnectionLost(undefined, { cause: error });
      }
      throw error;
    }
  }

  // A driver's error has no code that tells a lost connection from a mistake: the connection itself does.
  async #answers(client: pg.Client): Promise<boolean> {
    try {
      await client.query("ROLLBACK");
      return true;
    } catch {
      return false; // it can't be used any more, whatever the reason
    }
  }

  async close(): Promise<void> {
    const client = this.#client;
    this.#client = null;
    await client?.end().catch(() => undefined); // the server may have gone first
  }
}

function copy(client: pg.Client, statement: { copy: string; rows: string }): Promise<pg.QueryResult> {
  return new Promise((resolve, reject) => {
    const query = new CopyQuery(statement.copy, statement.rows, (error, result) =>
      error ? reject(error) : resolve(result!),
    );
    client.query(query);
  });
}
