// The connections of the building blocks that live in Postgres: a pool of the application's, or one made from an address.
import pg from "pg";
import { AfterimageError, messageOf } from "../../errors.ts";
import { sqlStateOf } from "./sql-state.ts";

/** A row as node-postgres gives it; values are of whatever type the query's columns have. */
// biome-ignore lint/suspicious/noExplicitAny: rows of a query that the caller writes, typed by the caller
export type PostgresRow = Record<string, any>;

/** What the blocks ask of a connection: node-postgres's `query`. */
export interface PostgresQueryable {
  query<R extends PostgresRow = PostgresRow>(
    text: string,
    values?: unknown[],
  ): Promise<{ rows: R[]; rowCount: number | null }>;
}

export interface PostgresConnection extends PostgresQueryable {
  on(event: "error", listener: (error: Error) => void): unknown;
  off(event: "error", listener: (error: Error) => void): unknown;
  release(broken?: boolean | Error): void;
}

/** A `Pool` of node-postgres (`pg`), or anything that lends connections as it does. */
export interface PostgresPool {
  connect(): Promise<PostgresConnection>;
}

/** A connection string, from which a pool of ten connections is made, or a pool of your own, which stays yours. */
export type PostgresSource = string | PostgresPool;

export interface BlockPool extends PostgresPool {
  /** Whether sessions begin read committed and for writing; those of a pool of the application may not. */
  readonly isPlain: boolean;
  /** Closes the pool if it was made here. */
  close(): Promise<void>;
}

const PLAIN = "SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off";

/**
 * Makes what is acknowledged survive a crash, and with `synchronous_standby_names` the loss of the primary, where less is set.
 * https://www.postgresql.org/docs/current/runtime-config-wal.html#GUC-SYNCHRONOUS-COMMIT
 */
export const durable = (until: "session" | "transaction"): string =>
  `SELECT pg_catalog.set_config('synchronous_commit', 'on', ${until === "transaction"})
    WHERE pg_catalog.current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')`;

export function openPool(source: PostgresSource, applicationName: string): BlockPool {
  if (typeof source !== "string") {
    return { isPlain: false, connect: () => source.connect(), close: async () => undefined };
  }
  const pool = new pg.Pool({ connectionString: source, application_name: applicationName });
  // Of a connection that idles: the pool drops it by itself, and whoever asks next gets another one.
  pool.on("error", () => undefined);
  // The role or the database may have other defaults. Comes before whatever is asked first; when it fails, so does that.
  pool.on("connect", (client) => {
    client.query(`${PLAIN}; ${durable("session")}`).catch(() => undefined);
  });
  return { isPlain: true, connect: () => pool.connect(), close: () => pool.end() };
}

/**
 * Lends a connection to `use` and gives it back; one that failed is not used again. A loss of the connection between two
 * queries is left to the next query: without a listener it would end the process.
 * @throws POSTGRES_UNREACHABLE before `use` is called, so nothing has happened
 */
export async function withConnection<T>(
  pool: PostgresPool,
  use: (connection: PostgresQueryable) => Promise<T>,
): Promise<T> {
  const connection = await pool.connect().catch((cause: unknown) => {
    throw new AfterimageError(
      "POSTGRES_UNREACHABLE",
      `No connection to Postgres: ${messageOf(cause)}.`,
      "Nothing was done. Check that the server runs, its address, user and password, and that the pool is not exhausted.",
      { cause },
    );
  });
  let broken = false;
  const noteLoss = () => {
    broken = true;
  };
  connection.on("error", noteLoss);
  try {
    return await use({ query: (text, values) => connection.query(text, values).catch(throwNamed) as never });
  } catch (error) {
    // A transaction may be open still, or the connection dead: the next borrower must not find out.
    broken = true;
    throw error;
  } finally {
    connection.off("error", noteLoss);
    connection.release(broken);
  }
}

/** The driver gives no code to a connection that ends without a word. What Postgres says, and wrong usage, stay as they are. */
function throwNamed(cause: unknown): never {
  if (cause instanceof AfterimageError || cause instanceof TypeError || sqlStateOf(cause) !== undefined) {
    throw cause;
  }
  throw new AfterimageError(
    "POSTGRES_UNREACHABLE",
    `The connection to Postgres was lost: ${messageOf(cause)}.`,
    "What was not committed is rolled back. Try again once the server answers.",
    { cause },
  );
}

/**
 * Runs `attempt` until it does not fail with a serialization failure or a deadlock. Only for what Postgres has rolled back
 * as a whole by then. https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html
 */
export async function retryRolledBack<T>(attempt: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!ROLLED_BACK.has(sqlStateOf(error) ?? "")) {
        throw error;
      }
    }
  }
}

/** serialization_failure, deadlock_detected */
const ROLLED_BACK = new Set(["40001", "40P01"]);
