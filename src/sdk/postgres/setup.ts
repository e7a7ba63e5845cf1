// Makes a block's tables where they are missing, once and whole, however many processes begin at the same time.
import { quoteIdentifier } from "../../event/identifier.ts";
import { type PostgresPool, withConnection } from "./pool.ts";

/** Any number that nobody else uses: processes that set up take turns. */
const SETUP_LOCK = 4_611_120_716_913;

export const DEFAULT_SCHEMA = "afterimage";

/**
 * Runs `sql` in one transaction unless `table` is there. A role that may not create gets by if somebody else has set up.
 * @param sql makes `table` as its last step, or all in one transaction, so that the table stands for the rest
 */
export async function setUpOnce(pool: PostgresPool, schema: string, table: string, sql: string): Promise<void> {
  // Not to_regclass, which answers from the session's cache: that does not notice what was made while it waited for the lock.
  const find = `SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relname = $2`;
  await withConnection(pool, async (connection) => {
    const isThere = async () => (await connection.query(find, [schema, table])).rows.length > 0;
    if (await isThere()) {
      return;
    }
    await connection.query("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE");
    try {
      await connection.query("SELECT pg_advisory_xact_lock($1)", [SETUP_LOCK]);
      if (!(await isThere())) {
        // CREATE SCHEMA IF NOT EXISTS asks for the right to create even where there is one.
        const { rows } = await connection.query("SELECT FROM pg_namespace WHERE nspname = $1", [schema]);
        if (rows.length === 0) {
          await connection.query(`CREATE SCHEMA ${quoteIdentifier(schema)}`);
        }
        await connection.query(sql);
      }
      await connection.query("COMMIT");
    } catch (error) {
      await connection.query("ROLLBACK").catch(() => undefined);
      throw error;
    }
  });
}

/** Calls `setUp` at the first use; after a failure at the next one again. */
export function lazily(setUp: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | null = null;
  return () => {
    done ??= setUp().catch((error: unknown) => {
      done = null;
      throw error;
    });
    return done;
  };
}
