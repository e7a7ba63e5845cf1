// Idempotency keys in a SQLite file: any number of processes of one machine, one transaction at a time.
import { DatabaseSync, type SQLOutputValue } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { AfterimageError } from "../../errors.ts";
import { isBusy, storeStep } from "../store/sqlite-errors.ts";
import type { SqliteValue } from "../store/sqlite-table.ts";
import type { IdempotencyStore, StoredResult } from "./store.ts";

export interface SqliteKeysOptions {
  /** SQL that makes the application's own tables; runs at every opening, so write IF NOT EXISTS. */
  readonly setup?: string;
}

/** Statements of the open transaction; over once the function that got it has ended. */
export interface SqliteKeysTransaction {
  /** Runs one statement with `?` parameters; gives the number of rows it changed. */
  run(sql: string, ...parameters: SqliteValue[]): number;
  /** The first row of a query; undefined when it has none. */
  get(sql: string, ...parameters: SqliteValue[]): Record<string, SQLOutputValue> | undefined;
  /** Every row of a query. */
  all(sql: string, ...parameters: SqliteValue[]): Record<string, SQLOutputValue>[];
}

// FULL: a result that a client was told of must survive a power cut. https://www.sqlite.org/pragma.html#pragma_synchronous
const OPENING = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  CREATE TABLE IF NOT EXISTS afterimage_idempotency_keys (
    key TEXT PRIMARY KEY,
    arguments TEXT NOT NULL,
    result TEXT,
    expires_at REAL NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS afterimage_idempotency_expiry ON afterimage_idempotency_keys (expires_at);`;

const FIND =
  "SELECT result, arguments FROM afterimage_idempotency_keys WHERE key = ? AND expires_at > unixepoch('subsec')";
const STORE =
  "INSERT OR REPLACE INTO afterimage_idempotency_keys (key, arguments, result, expires_at) VALUES (?, ?, ?, unixepoch('subsec') + ?)";
const PURGE = "DELETE FROM afterimage_idempotency_keys WHERE expires_at <= unixepoch('subsec')";

/** How long to wait before the next try for a file that another process writes to. */
const BUSY_MS = 5;

/**
 * The keys are stored in `file`, beside whatever the application writes there. SQLite lets one transaction write at a time,
 * so effects run one after the other, over all processes.
 */
export function sqliteKeys(
  file: string,
  { setup = "" }: SqliteKeysOptions = {},
): IdempotencyStore<SqliteKeysTransaction> {
  const database = storeStep(file, "open", () => {
    const opened = new DatabaseSync(file, { timeout: 30_000 });
    opened.exec(OPENING);
    opened.exec(setup);
    // From here on nobody waits inside SQLite, which would stop this process's other work.
    opened.exec("PRAGMA busy_timeout = 0");
    return opened;
  });
  let turn: Promise<unknown> = Promise.resolve();

  /** Runs `work` in a transaction that has the file for itself, when those asked before are through. */
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const answer = turn.then(async () => {
      await begin(file, database);
      try {
        const result = await work();
        storeStep(file, "write", () => database.exec("COMMIT"));
        return result;
      } finally {
        if (database.isOpen && database.isTransaction) {
          database.exec("ROLLBACK");
        }
      }
    });
    turn = answer.catch(() => undefined); // whoever asked is told
    return answer;
  };

  return {
    once: ({ key, argumentsHash, expiresSeconds }, work) =>
      inTurn(async (): Promise<StoredResult> => {
        const found = database.prepare(FIND).get(key);
        if (found !== undefined) {
          return { fresh: false, result: found.result as string | null, argumentsHash: found.arguments as string };
        }
        // Stands in for the result while the work runs: one that commits by itself leaves it, and is not run again.
        database.prepare(STORE).run(key, argumentsHash, null, expiresSeconds);
        const tx = new OpenTransaction(database);
        const result = await work(tx).finally(() => tx.end());
        if (!database.isTransaction) {
          throw new AfterimageError(
            "TRANSACTION_ENDED",
            "The function that got tx ended the transaction with a statement of its own.",
            "Don't send COMMIT, ROLLBACK or the like through tx: what it wrote and its result are committed together once it returns.",
          );
        }
        database.prepare(STORE).run(key, argumentsHash, result, expiresSeconds);
        return { fresh: true, result, argumentsHash };
      }),
    purge: () => inTurn(async () => Number(database.prepare(PURGE).run().changes)),
    close: async () => {
      await turn;
      database.close();
    },
  };
}

/** Waits, without standing in the way of other work, until no other process writes to the file. */
async function begin(file: string, database: DatabaseSync): Promise<void> {
  for (;;) {
    try {
      database.exec("BEGIN IMMEDIATE");
      return;
    } catch (error) {
      if (!isBusy(error)) {
        storeStep(file, "write", () => {
          throw error;
        });
      }
    }
    await sleep(BUSY_MS);
  }
}

class OpenTransaction implements SqliteKeysTransaction {
  #database: DatabaseSync | null;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  run(sql: string, ...parameters: SqliteValue[]): number {
    return Number(this.#prepare(sql).run(...parameters.map(asBindable)).changes);
  }

  get(sql: string, ...parameters: SqliteValue[]): Record<string, SQLOutputValue> | undefined {
    return this.#prepare(sql).get(...parameters.map(asBindable));
  }

  all(sql: string, ...parameters: SqliteValue[]): Record<string, SQLOutputValue>[] {
    return this.#prepare(sql).all(...parameters.map(asBindable));
  }

  end(): void {
    this.#database = null;
  }

  #prepare(sql: string) {
    if (this.#database === null) {
      throw new AfterimageError(
        "TRANSACTION_OVER",
        "tx was used after the function that got it had ended.",
        "Await everything that the function starts, or return its promise.",
      );
    }
    return this.#database.prepare(sql);
  }
}

const asBindable = (value: SqliteValue) => (typeof value === "boolean" ? Number(value) : value);
