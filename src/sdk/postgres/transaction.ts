// A transaction on a lent connection, and the `tx` that is handed to whoever works in it.
import { AfterimageError } from "../../errors.ts";
import {
  type BlockPool,
  durable,
  type PostgresPool,
  type PostgresQueryable,
  type PostgresRow,
  withConnection,
} from "./pool.ts";
import { atCommit } from "./sql-state.ts";

/** Queries of one open transaction; over once the function that got it has ended. */
export class PostgresTransaction implements PostgresQueryable {
  #connection: PostgresQueryable | null;

  /** @internal Made by the block that opens the transaction. */
  constructor(connection: PostgresQueryable) {
    this.#connection = connection;
  }

  /**
   * Runs one statement, as node-postgres does. Don't end the transaction with it.
   * @throws TRANSACTION_OVER after the function that got this has ended; the driver's error otherwise
   */
  query<R extends PostgresRow = PostgresRow>(
    text: string,
    values?: unknown[],
  ): Promise<{ rows: R[]; rowCount: number | null }> {
    if (this.#connection === null) {
      return Promise.reject(
        new AfterimageError(
          "TRANSACTION_OVER",
          "tx was used after the function that got it had ended.",
          "Await everything that the function starts, or return its promise.",
        ),
      );
    }
    return this.#connection.query<R>(text, values);
  }

  /** @internal */
  end(): void {
    this.#connection = null;
  }
}

/**
 * Runs `work` in a read committed transaction and commits it. Whatever `work` throws rolls it back and is thrown on.
 * @throws OUTCOME_UNKNOWN with `advice` when the connection is lost at the commit
 */
export async function inTransaction<T>(
  pool: PostgresPool,
  advice: string,
  work: (tx: PostgresTransaction) => Promise<T>,
): Promise<T> {
  return withConnection(pool, async (connection) => {
    // An application may have another default; the blocks' statements rest on seeing what is committed as they begin.
    await connection.query(`BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; ${durable("transaction")}`);
    const tx = new PostgresTransaction(connection);
    let result: T;
    try {
      result = await work(tx);
    } catch (error) {
      tx.end();
      // On a lost connection there is nothing to roll back.
      await connection.query("ROLLBACK").catch(() => undefined);
      throw error;
    }
    tx.end();
    await commit(connection, advice);
    return result;
  });
}

/**
 * One statement that is a transaction by itself, read committed.
 * @param advice for OUTCOME_UNKNOWN; null when it only reads
 */
export async function oneStatement(
  pool: BlockPool,
  text: string,
  values: unknown[],
  advice: string | null,
): Promise<{ rows: PostgresRow[]; rowCount: number | null }> {
  if (!pool.isPlain) {
    return inTransaction(pool, advice ?? "Ask again.", (tx) => tx.query(text, values));
  }
  return withConnection(pool, (connection) =>
    connection.query(text, values).catch((cause: unknown) => {
      throw advice === null ? cause : atCommit(cause, advice);
    }),
  );
}

async function commit(connection: PostgresQueryable, advice: string): Promise<void> {
  const answer = await connection.query("COMMIT").catch((cause: unknown) => {
    throw atCommit(cause, advice);
  });
  // Postgres answers COMMIT of a failed transaction with ROLLBACK, and no error.
  if ((answer as { command?: string }).command === "ROLLBACK") {
    throw new AfterimageError(
      "TRANSACTION_FAILED",
      "A statement of the transaction had failed, so Postgres rolled it back.",
      "Don't swallow errors of tx.query: after one, Postgres takes no further statement. Nothing was stored.",
    );
  }
}
