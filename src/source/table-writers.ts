// Who has written to a table and is not over: their locks tell, to every user, until after others can see their rows.
// A prepared transaction holds them as well, under no process id, until COMMIT PREPARED or ROLLBACK PREPARED.
import type pg from "pg";

// One look at the locks: a lock on the table and the lock on the own xid are both held from the first row on until the
// transaction is visible, so whoever committed and waits for a standby is in here. Weaker locks write no rows: CREATE INDEX
// and VACUUM hold them for long. A session that is known to be idle in its transaction has not committed; of other users'
// sessions only their locks are known.
// https://www.postgresql.org/docs/current/view-pg-locks.html
const WRITERS = `
  WITH locks AS MATERIALIZED (
    SELECT locktype, relation, transactionid, virtualtransaction, pid, mode, database FROM pg_locks WHERE granted
  )
  SELECT DISTINCT own.transactionid::text AS xid
    FROM locks own
    JOIN locks held ON held.virtualtransaction = own.virtualtransaction
    LEFT JOIN pg_stat_activity a ON a.pid = own.pid
   WHERE own.locktype = 'transactionid' AND own.mode = 'ExclusiveLock'
     AND held.locktype = 'relation' AND held.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
     AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
     AND held.relation IN (SELECT $1::oid UNION SELECT relid FROM pg_partition_tree($1::oid))
     AND ($2 OR coalesce(a.state, '') NOT LIKE 'idle in transaction%')`;

/**
 * Xids of transactions that hold a writer's lock on the table or one of its partitions; a prepared one too. `idle`: also
 * of those that have surely not committed.
 */
export async function readWriters(client: pg.Client, table: number, idle: boolean): Promise<string[]> {
  const { rows } = await client.query(WRITERS, [table, idle]);
  return rows.map(({ xid }) => xid);
}

// The view of prepared transactions is readable for every user; of other users' sessions the xid may be hidden.
// https://www.postgresql.org/docs/current/view-pg-prepared-xacts.html
const HOLDERS = `
  SELECT transaction::text AS xid, gid, database, prepared::text AS since, NULL::int AS pid
    FROM pg_prepared_xacts WHERE transaction::text = ANY ($1)
   UNION ALL
  SELECT backend_xid::text, NULL, datname, xact_start::text, pid FROM pg_stat_activity WHERE backend_xid::text = ANY ($1)`;

/** Those of the transactions (32-bit xids) of which it is known who can end them, for people. */
export async function nameHolders(client: pg.Client, xids: readonly string[]): Promise<string[]> {
  const { rows } = await client.query(HOLDERS, [xids]);
  return rows.map(({ xid, gid, pid, since }) =>
    gid === null
      ? `transaction ${xid} of process ${pid}, open since ${since}`
      : `transaction ${xid}, prepared as ${JSON.stringify(gid)} at ${since} (COMMIT PREPARED or ROLLBACK PREPARED ends it)`,
  );
}
