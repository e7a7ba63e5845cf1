// How bad it is that the slot keeps WAL: a ladder from nothing over a warning and an alert to giving the slot up. Pure.
import { formatBytes } from "../config/units.ts";
import { AfterimageError } from "../errors.ts";
import { formatLsn } from "../event/lsn.ts";
import type { WalRetention } from "../source/wal-retention.ts";
import type { WalStatus } from "./status.ts";

export interface WalLimits {
  readonly warn: number;
  readonly alert: number;
  /** Null: never. */
  readonly giveUp: number | null;
}

/** Parts of what the server keeps at most (`max_slot_wal_keep_size`). */
const WARN_PART = 0.5;
const ALERT_PART = 0.8;
/** Growth is told over this time. */
const SPAN_MS = 60_000;
/** A standby that confirms is waited for now and then; so long is an alarm. */
const AWAITED_MS = 5_000;

export class WalJudge {
  readonly #limits: WalLimits;
  #looks: { readonly at: number; readonly bytes: number }[] = [];
  #awaitedSince: number | null = null;

  constructor(limits: WalLimits) {
    this.#limits = limits;
  }

  /** `at` in milliseconds of a clock that only goes on. */
  judge(retention: WalRetention, at: number): WalStatus {
    const { retainedBytes, leftBytes, awaitedStandbys } = retention;
    this.#looks = [...this.#looks.filter((look) => at - look.at <= SPAN_MS), { at, bytes: retainedBytes }];
    this.#awaitedSince = awaitedStandbys === null ? null : (this.#awaitedSince ?? at);
    const bytesPerSecond = this.#growth();
    const awaited = this.#awaitedSince !== null && at - this.#awaitedSince >= AWAITED_MS;
    return {
      level: this.#level(retention),
      retainedBytes,
      bytesPerSecond,
      leftBytes,
      secondsLeft:
        leftBytes === null || bytesPerSecond <= 0 ? null : Math.max(0, Math.round(leftBytes / bytesPerSecond)),
      awaitedStandbys: awaited ? awaitedStandbys : null,
    };
  }

  #growth(): number {
    const [first, last] = [this.#looks[0]!, this.#looks.at(-1)!];
    return last.at === first.at ? 0 : Math.round(((last.bytes - first.bytes) / (last.at - first.at)) * 1000);
  }

  #level({ retainedBytes, leftBytes, walStatus }: WalRetention): WalStatus["level"] {
    const { warn, alert, giveUp } = this.#limits;
    const part = leftBytes === null ? 0 : retainedBytes / Math.max(1, retainedBytes + Math.max(0, leftBytes));
    const nearlyLost = walStatus === "unreserved";
    if (giveUp !== null && (retainedBytes >= giveUp || nearlyLost)) {
      return "give-up";
    }
    if (retainedBytes >= alert || part >= ALERT_PART || nearlyLost) {
      return "alert";
    }
    return retainedBytes >= warn || part >= WARN_PART ? "warn" : "ok";
  }
}

const HOW =
  "It falls when the stream gets on: look at lag and last error, at Kafka, and at transactions that are open for long (pg_stat_activity, xact_start).";

export function walRetained(slot: string, wal: WalStatus): AfterimageError {
  const left =
    wal.leftBytes === null
      ? "and max_slot_wal_keep_size sets no bound, so the database's disk may fill"
      : `and the server gives the slot up after ${formatBytes(Math.max(0, wal.leftBytes))} more${wal.secondsLeft === null ? "" : `, in about ${wal.secondsLeft} s`}`;
  const grows = wal.bytesPerSecond > 0 ? `, ${formatBytes(wal.bytesPerSecond)} more each second` : "";
  return new AfterimageError(
    "WAL_RETAINED",
    `Replication slot ${slot} makes the server keep ${formatBytes(wal.retainedBytes)} of WAL${grows}, ${left}.`,
    HOW,
  );
}

export function standbyAwaited(slot: string, standbys: string): AfterimageError {
  return new AfterimageError(
    "STANDBY_AWAITED",
    `Postgres sends nothing from slot ${slot}: it waits for the standby's slot that synchronized_standby_slots names (${standbys}).`,
    "Start that standby. After a promotion name the new primary's own standby there, or nobody: ALTER SYSTEM SET synchronized_standby_slots = ''; SELECT pg_reload_conf();",
  );
}

export function notFailover(slot: string): AfterimageError {
  return new AfterimageError(
    "SLOT_NOT_FAILOVER",
    `postgres.failover is set, and replication slot ${slot}, which is there already, is not one that standbys take over.`,
    `Stop the daemon, run ALTER_REPLICATION_SLOT ${slot} (FAILOVER true) over a replication connection (psql "dbname=… replication=database"), and start it again.`,
  );
}

export function slotGivenUp(slot: string, { confirmedFlushLsn, retainedBytes }: WalRetention): AfterimageError {
  return new AfterimageError(
    "SLOT_GIVEN_UP",
    `Replication slot ${slot} made the server keep ${formatBytes(retainedBytes)} of WAL, and is given up at ${formatLsn(confirmedFlushLsn)} (walGuard.giveUp).`,
    "Nothing to do: a new epoch begins by itself, and every table is read again. Should the daemon be restarted before that: afterimage start --new-epoch.",
  );
}
