// Idempotency keys in Postgres: any number of processes. The unique index lets one transaction at a time have a key; the
// others wait in their INSERT until it has ended, however it ended.

import { AfterimageError } from "../../errors.ts";
import { quoteIdentifier } from "../../event/identifier.ts";
import { openPool, type PostgresSource } from "../postgres/pool.ts";
import { DEFAULT_SCHEMA, lazily, setUpOnce } from "../postgres/setup.ts";
import { inTransaction, type PostgresTransaction } from "../postgres/transaction.ts";
import type { IdempotencyStore, KeyRequest, StoredResult } from "./store.ts";

export interface PostgresKeysOptions {
  /** Where the table `idempotency_keys` is, made when it is missing; `afterimage` by default. */
  readonly schema?: string;
}

const CALL_AGAIN =
  "Call process again with the same key: it gives the stored result, or has the effect for the first time.";

export function postgresKeys(
  postgres: PostgresSource,
  { schema = DEFAULT_SCHEMA }: PostgresKeysOptions = {},
): IdempotencyStore<PostgresTransaction> {
  const pool = openPool(postgres, "afterimage idempotency");
  const sql = statements(`${quoteIdentifier(schema)}.idempotency_keys`);
  const ready = lazily(() => setUpOnce(pool, schema, "idempotency_keys", sql.setUp));

  const find = async (tx: PostgresTransaction, key: string): Promise<StoredResult | null> => {
    const { rows } = await tx.query(sql.find, [key]);
    return rows.length === 0 ? null : { fresh: false, result: rows[0]!.result, argumentsHash: rows[0]!.arguments };
  };

  return {
    async once(request: KeyRequest, work): Promise<StoredResult> {
      await ready();
      const { key, argumentsHash, expiresSeconds } = request;
      return inTransaction(pool, CALL_AGAIN, async (tx) => {
        for (;;) {
          const stored = await find(tx, key);
          if (stored !== null) {
            return stored;
          }
          const { rows } = await tx.query(sql.claim, [key, argumentsHash, expiresSeconds]);
          if (rows.length === 1) {
            const result = await work(tx);
            const { rowCount } = await tx.query(sql.finish, [key, result, expiresSeconds, rows[0]!.claim]);
            if (rowCount !== 1) {
              throw endedByWork();
            }
            return { fresh: true, result, argumentsHash };
          }
          // It was taken while we looked: by now it is committed, and found unless it has expired meanwhile.
        }
      });
    },
    async purge() {
      await ready();
      return inTransaction(pool, "Nothing needs to be done.", async (tx) => (await tx.query(sql.purge)).rowCount ?? 0);
    },
    close: () => pool.close(),
  };
}

function endedByWork(): AfterimageError {
  return new AfterimageError(
    "TRANSACTION_ENDED",
    "The function that got tx ended the transaction with a statement of its own.",
    "Don't send COMMIT, ROLLBACK or the like through tx: what it wrote and its result are committed together once it returns.",
  );
}

// The clock is the database's, and reads the moment, not the begin of the transaction. `claim` tells the transaction: an
// effect that ends it and goes on in another one is found out, and leaves a row without a result, which nobody runs again.
const statements = (table: string) => ({
  setUp: `
    CREATE TABLE ${table} (
      key text COLLATE "C" PRIMARY KEY,
      arguments text NOT NULL,
      result text,
      expires_at timestamptz NOT NULL
    );
    CREATE INDEX ON ${table} (expires_at);`,
  find: `SELECT result, arguments FROM ${table} WHERE key = $1 AND expires_at > clock_timestamp()`,
  claim: `
    INSERT INTO ${table} AS old (key, arguments, result, expires_at)
    VALUES ($1, $2, NULL, clock_timestamp() + $3 * interval '1 second')
    ON CONFLICT (key) DO UPDATE SET arguments = excluded.arguments, result = NULL, expires_at = excluded.expires_at
    WHERE old.expires_at <= clock_timestamp()
    RETURNING pg_current_xact_id()::text AS claim`,
  finish: `
    UPDATE ${table} SET result = $2, expires_at = clock_timestamp() + $3 * interval '1 second'
    WHERE key = $1 AND pg_current_xact_id()::text = $4`,
  purge: `
    DELETE FROM ${table} WHERE key IN (
      SELECT key FROM ${table} WHERE expires_at <= clock_timestamp() LIMIT 10000 FOR UPDATE SKIP LOCKED)`,
});
