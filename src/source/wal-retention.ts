// What our slot makes the server keep, how much is left before the server gives it up, what the walsender waits for, and
// who waits for the slot.
// https://www.postgresql.org/docs/current/view-pg-replication-slots.html
import type pg from "pg";
import { type Lsn, parseLsn } from "../event/lsn.ts";

export interface WalRetention {
  /** Bytes of WAL that the server keeps for the slot. */
  readonly retainedBytes: number;
  /** Bytes that may still be written before the server can give the slot up; null when it never does. */
  readonly leftBytes: number | null;
  readonly confirmedFlushLsn: Lsn;
  /** `reserved`, `extended`, `unreserved` or `lost`. */
  readonly walStatus: string | null;
  /** Whether a standby can take it over; null before PostgreSQL 17. */
  readonly failover: boolean | null;
  /** Slots of standbys that the walsender waits for before it sends anything (`synchronized_standby_slots`). */
  readonly awaitedStandbys: string | null;
  /** Daemons of the stream that stand by until the slot is free. */
  readonly standbyDaemons: number;
}

/** The name under which a daemon that stands by looks at the slot. */
export const standbyName = (stream: string): string => `afterimage ${stream} standby`;

/** Null when there is no slot of that name. */
export async function readRetention(client: pg.Client, slot: string, stream: string): Promise<WalRetention | null> {
  // to_jsonb: the column is there since PostgreSQL 17. A standby has another position than its insert position.
  const { rows } = await client.query(
    `SELECT coalesce(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_insert_lsn() END,
                                     s.restart_lsn), 0)::float8 AS "retainedBytes",
            s.safe_wal_size::float8 AS "leftBytes",
            coalesce(s.confirmed_flush_lsn, '0/0')::text AS "confirmedFlushLsn", s.wal_status AS "walStatus",
            (to_jsonb(s) ->> 'failover')::boolean AS failover,
            CASE WHEN a.wait_event = 'WaitForStandbyConfirmation'
                 THEN current_setting('synchronized_standby_slots', true) END AS "awaitedStandbys",
            (SELECT count(*)::int FROM pg_stat_activity d
              WHERE d.application_name = $2 AND d.datname = current_database()) AS "standbyDaemons"
       FROM pg_replication_slots s LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid
      WHERE s.slot_name = $1`,
    [slot, standbyName(stream)],
  );
  const row = rows[0];
  return row === undefined ? null : { ...row, confirmedFlushLsn: parseLsn(row.confirmedFlushLsn) };
}
