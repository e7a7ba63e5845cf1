// The replication slot: its state, and how it is made and dropped.
// https://www.postgresql.org/docs/current/view-pg-replication-slots.html
import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { AfterimageError } from "../errors.ts";
import { type Lsn, parseLsn } from "../event/lsn.ts";
import { failpoint } from "../failpoint.ts";
import { errorCode, type LongQuery, queryFailed } from "./session.ts";
import { withStandbySnapshots } from "./standby.ts";

export interface SlotState {
  readonly plugin: string;
  /** Made to send transactions at PREPARE already. */
  readonly twoPhase: boolean;
  /** Made in the connected database. */
  readonly here: boolean;
  readonly activePid: number | null;
  readonly confirmedFlushLsn: Lsn;
  /** Bytes of WAL the server keeps for the slot. */
  readonly retainedBytes: number;
  /** `reserved`, `extended`, `unreserved` or `lost`. */
  readonly walStatus: string | null;
}

/** Where the server's WAL ends; a standby's is what it has received, or has replayed from an archive. */
export const WAL_END = `CASE WHEN pg_is_in_recovery() THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
                             ELSE pg_current_wal_insert_lsn() END`;

/** Null when there is no slot of that name. */
export async function readSlot(client: pg.Client, slot: string): Promise<SlotState | null> {
  const { rows } = await client.query(
    `SELECT plugin, two_phase AS "twoPhase", database IS NOT DISTINCT FROM current_database() AS here, active_pid AS "activePid", confirmed_flush_lsn::text AS "confirmedFlushLsn",
            coalesce(pg_wal_lsn_diff(${WAL_END}, restart_lsn), 0)::float8 AS "retainedBytes",
            wal_status AS "walStatus"
       FROM pg_replication_slots WHERE slot_name = $1`,
    [slot],
  );
  const row = rows[0];
  return row === undefined ? null : { ...row, confirmedFlushLsn: parseLsn(row.confirmedFlushLsn ?? "0/0") };
}

// Such a slot sends a transaction at PREPARE, whatever is asked for when streaming begins, and only its name at COMMIT
// PREPARED. Others send it at COMMIT PREPARED like any other.
export const twoPhaseSlot = (slot: string): string =>
  `Replication slot ${slot} was made with two_phase, so it sends transactions before they are committed.`;
export const TWO_PHASE_REMEDY =
  "Name another slot in postgres.slot, or drop this one while no stream has been published from it and let start make its own; on PostgreSQL 18 also ALTER_REPLICATION_SLOT … (TWO_PHASE false) over a replication connection.";

/** Where the server writes now, and what the slot makes it keep. */
export async function readSlotLag(client: pg.Client, slot: string): Promise<{ insertLsn: Lsn; retainedBytes: number }> {
  const { rows } = await client.query(
    `SELECT (${WAL_END})::text AS "insertLsn",
            coalesce((SELECT pg_wal_lsn_diff(${WAL_END}, restart_lsn)
                        FROM pg_replication_slots WHERE slot_name = $1), 0)::float8 AS "retainedBytes"`,
    [slot],
  );
  return { insertLsn: parseLsn(rows[0].insertLsn), retainedBytes: rows[0].retainedBytes };
}

/** Resolves once nobody streams from the slot, or it is gone. */
export async function waitUntilInactive(client: pg.Client, slot: string, signal: AbortSignal): Promise<void> {
  while (!signal.aborted && (await readSlot(client, slot))?.activePid != null) {
    await sleep(LOOK_AGAIN_MS, undefined, { signal }).catch(() => undefined); // the loop looks at the signal
  }
}

const LOOK_AGAIN_MS = 250;

/** After its statement_timeout the server has this long to say so. */
const ANSWER_MS = 30_000;

const DUPLICATE_OBJECT = "42710";
const QUERY_CANCELED = "57014";
const CONFIGURATION_LIMIT = "53400";
const UNDEFINED_OBJECT = "42704";
const OBJECT_IN_USE = "55006";

export interface SlotMaking {
  /** Standbys take it over. */
  readonly failover?: boolean;
  /** Connected to the primary, when the slot is made on a standby of it. */
  readonly primary?: pg.Client | null;
}

/**
 * Makes the slot. Postgres first waits for every transaction that is open at that moment; after `patienceMs` it gives
 * up and the half-made slot is gone. Resolves false when another process made it meanwhile.
 * Throws SLOT_BLOCKED (naming the blocker), SLOTS_EXHAUSTED or FAILOVER_UNSUPPORTED.
 */
export async function createSlot(
  client: pg.Client,
  slot: string,
  patienceMs: number,
  { failover = false, primary = null }: SlotMaking = {},
): Promise<boolean> {
  if (failover) {
    await checkFailover(client);
  }
  try {
    await client.query(`SET statement_timeout = ${Math.max(1, Math.round(patienceMs))}`);
    const making: LongQuery = {
      text: `SELECT pg_create_logical_replication_slot($1, 'pgoutput'${failover ? ", failover => true" : ""})`,
      values: [slot],
      patienceMs: patienceMs + ANSWER_MS,
    };
    const made = client.query(making);
    await (primary === null ? made : withStandbySnapshots(primary, made));
    failpoint("slot.made");
    return true;
  } catch (error) {
    switch (errorCode(error)) {
      case DUPLICATE_OBJECT:
        return false;
      case QUERY_CANCELED:
        throw await slotBlocked(primary ?? client, slot, patienceMs);
      case CONFIGURATION_LIMIT:
        throw new AfterimageError(
          "SLOTS_EXHAUSTED",
          `There is no free replication slot for ${slot}.`,
          "Raise max_replication_slots and restart Postgres, or drop a slot nobody uses: SELECT slot_name, active FROM pg_replication_slots;",
          { cause: error },
        );
      default:
        throw queryFailed(`Making replication slot ${slot}`, error);
    }
  } finally {
    // On a connection that was lost it fails too; the loss itself is the error that counts.
    await client.query("SET statement_timeout = 0").catch(() => undefined);
  }
}

/** Standbys copy slots since PostgreSQL 17. */
async function checkFailover(client: pg.Client): Promise<void> {
  const { rows } = await client.query("SELECT current_setting('server_version_num')::int AS version");
  if (rows[0].version < 170_000) {
    throw new AfterimageError(
      "FAILOVER_UNSUPPORTED",
      `postgres.failover asks for a slot that standbys take over, and this is PostgreSQL ${Math.trunc(rows[0].version / 10_000)}; it takes 17 or later.`,
      "Set postgres.failover to false; a promoted standby is then answered by afterimage start --new-epoch. Or upgrade Postgres.",
    );
  }
}

async function slotBlocked(client: pg.Client, slot: string, patienceMs: number): Promise<AfterimageError> {
  const { rows } = await client.query(
    `SELECT pid, NULL AS gid, datname AS database, usename AS "user", coalesce(application_name, '') AS name, xact_start AS since
       FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()
      UNION ALL SELECT NULL, gid, database, owner, '', prepared FROM pg_prepared_xacts
      ORDER BY since LIMIT 1`,
  );
  const [who, remedy] = describeBlocker(rows[0]);
  return new AfterimageError(
    "SLOT_BLOCKED",
    `Replication slot ${slot} could not be made within ${Math.round(patienceMs / 1000)} s: Postgres waits for ${who}.`,
    `${remedy}; then start again.`,
  );
}

interface Blocker {
  readonly pid: number | null;
  /** Of a prepared transaction. */
  readonly gid: string | null;
  readonly database: string;
  readonly user: string;
  readonly name: string;
  readonly since: Date;
}

function describeBlocker(blocker: Blocker | undefined): [who: string, remedy: string] {
  if (blocker === undefined) {
    return ["a transaction that is open", "End open transactions"];
  }
  const { pid, gid, database, user, name } = blocker;
  const since = blocker.since.toISOString();
  if (gid === null) {
    return [
      `process ${pid} (user ${user}, application ${JSON.stringify(name)}), whose transaction is open since ${since}`,
      `End that transaction, or SELECT pg_terminate_backend(${pid})`,
    ];
  }
  const literal = `'${gid.replaceAll("'", "''")}'`;
  return [
    `the transaction that user ${user} prepared as ${JSON.stringify(gid)} in database ${database} at ${since}`,
    `COMMIT PREPARED ${literal}, or ROLLBACK PREPARED ${literal}, in that database`,
  ];
}

/** Drops the slot; resolves false when it was already gone. Throws SLOT_IN_USE. */
export async function dropSlot(client: pg.Client, slot: string): Promise<boolean> {
  try {
    await client.query("SELECT pg_drop_replication_slot($1)", [slot]);
    return true;
  } catch (error) {
    switch (errorCode(error)) {
      case UNDEFINED_OBJECT:
        return false;
      case OBJECT_IN_USE:
        throw new AfterimageError(
          "SLOT_IN_USE",
          `Replication slot ${slot} is in use.`,
          "Stop the daemon that holds it (afterimage stop), then try again.",
          { cause: error },
        );
      default:
        throw queryFailed(`Dropping replication slot ${slot}`, error);
    }
  }
}
