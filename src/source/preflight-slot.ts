// The stream's replication slot as the server has it: whose it is, who reads it, and whether it still holds its WAL.
// https://www.postgresql.org/docs/current/view-pg-replication-slots.html
import { type Finding, inTurn, ok, problem, remedy, shell, sql, warning } from "./finding.ts";
import { TWO_PHASE_REMEDY, twoPhaseSlot, WAL_END } from "./slot.ts";

export interface SlotFacts {
  readonly plugin: string | null;
  readonly database: string | null;
  /** `reserved`, `extended`, `unreserved` or `lost`. */
  readonly walStatus: string | null;
  /** Why Postgres gave it up (17 and later): `wal_removed`, `idle_timeout`, … */
  readonly invalidation: string | null;
  /** Bytes of WAL that the server keeps for it. */
  readonly retainedBytes: number;
  /** Bytes that may be written before it is in danger; null without `max_slot_wal_keep_size`. */
  readonly safeBytes: number | null;
  /** Whoever streams from it. */
  readonly active: { readonly pid: number; readonly application: string | null } | null;
  /** Standbys keep a copy of it (17 and later). */
  readonly failover: boolean;
  /** It sends transactions at PREPARE. */
  readonly twoPhase: boolean;
}

/** One JSON object for the slot named by $1. `to_jsonb`, since older servers lack some columns. */
export const SLOT_FACTS = `
  SELECT json_build_object('plugin', s.plugin, 'database', s.database, 'walStatus', s.wal_status,
           'invalidation', coalesce(to_jsonb(s) ->> 'invalidation_reason',
                                    CASE WHEN (to_jsonb(s) ->> 'conflicting')::bool THEN 'a conflict with recovery' END),
           'retainedBytes', coalesce(pg_wal_lsn_diff(${WAL_END}, s.restart_lsn), 0)::float8,
           'safeBytes', s.safe_wal_size::float8,
           'active', CASE WHEN s.active_pid IS NOT NULL THEN json_build_object('pid', s.active_pid, 'application',
                       (SELECT application_name FROM pg_stat_activity a WHERE a.pid = s.active_pid)) END,
           'failover', coalesce((to_jsonb(s) ->> 'failover')::boolean, false), 'twoPhase', s.two_phase)
    FROM pg_replication_slots s WHERE s.slot_name = $1`;

export interface SlotTarget {
  readonly name: string;
  readonly stream: string;
  /** The connected database. */
  readonly database: string;
}

const MIB = 1024 ** 2;
/** Less room than four segments is gone within a moment of load. */
const LEAST_SAFE_BYTES = 64 * MIB;
/** What a slot may hold without anybody streaming from it before that is worth a warning. */
const MUCH_BYTES = 4096 * MIB;

/** Judges the slot of our name; pure. Codes: SLOT_FOREIGN, SLOT_TWO_PHASE, SLOT_LOST, SLOT_ENDANGERED, SLOT_IN_USE, SLOT_RETAINS. */
export function judgeSlot(slot: SlotFacts, { name, stream, database }: SlotTarget): Finding[] {
  if (slot.plugin !== "pgoutput" || slot.database !== database) {
    const of = slot.plugin === null ? "a physical one" : `for plugin ${slot.plugin} in database ${slot.database}`;
    return [
      problem(
        "SLOT_FOREIGN",
        `Replication slot ${name} is there, but ${of}.`,
        remedy`Choose another name with postgres.slot, or drop that slot if nobody uses it: ${sql(`SELECT pg_drop_replication_slot('${name}');`)}`,
      ),
    ];
  }
  if (slot.twoPhase) {
    return [problem("SLOT_TWO_PHASE", twoPhaseSlot(name), TWO_PHASE_REMEDY)];
  }
  if (slot.walStatus === "lost") {
    return [
      problem(
        "SLOT_LOST",
        `Replication slot ${name} was invalidated${slot.invalidation === null ? "" : ` (${slot.invalidation})`}: the server no longer has all that it still needed.`,
        remedy`The stream can't go on from here: begin a new epoch (afterimage start --new-epoch), or rebuild it: ${rebuild(stream)}, then start again. So that it doesn't happen again: ${precaution(slot.invalidation)}`,
      ),
    ];
  }
  return [ok("SLOTS_EXHAUSTED", `replication slot ${name} is there`), ...judgeWal(slot, name), ...judgeUse(slot, name)];
}

/** The step that begins a stream anew. */
export const rebuild = (stream: string) => shell(`afterimage drop ${stream} --topics`);

function precaution(invalidation: string | null): string {
  switch (invalidation) {
    case "idle_timeout":
      return "idle_replication_slot_timeout = 0.";
    case "wal_level_insufficient":
      return "leave wal_level at logical, on the primary too.";
    case "rows_removed":
      return "hot_standby_feedback = on on the standby, and a physical slot for it on the primary (primary_slot_name).";
    case "a conflict with recovery":
      return "wal_level = logical on the primary, hot_standby_feedback = on on the standby, and a physical slot for it on the primary (primary_slot_name).";
    default:
      return "a larger max_slot_wal_keep_size.";
  }
}

function judgeWal({ walStatus, retainedBytes, safeBytes, active }: SlotFacts, name: string): Finding[] {
  const held = `${Math.ceil(retainedBytes / MIB)} MB`;
  if (walStatus === "unreserved" || (safeBytes !== null && safeBytes < LEAST_SAFE_BYTES)) {
    return [
      warning(
        "SLOT_ENDANGERED",
        `Replication slot ${name} keeps ${held} of WAL and is about to be given up: max_slot_wal_keep_size allows ${Math.max(0, Math.floor((safeBytes ?? 0) / MIB))} MB more.`,
        remedy`Make room at once, and see that the daemon streams: ${inTurn([
          sql(`ALTER SYSTEM SET max_slot_wal_keep_size = '${2 * Math.ceil(retainedBytes / MIB) + 1024}MB';`),
          sql("SELECT pg_reload_conf();"),
        ])}`,
      ),
    ];
  }
  if (active === null && retainedBytes > MUCH_BYTES) {
    return [
      warning(
        "SLOT_RETAINS",
        `Replication slot ${name} keeps ${held} of WAL on the server's disk, and nobody streams from it.`,
        "Start the daemon; or, when the stream is no longer wanted, remove it: afterimage drop STREAM.",
      ),
    ];
  }
  return [];
}

function judgeUse({ active }: SlotFacts, name: string): Finding[] {
  if (active === null) return [];
  if (active.application?.startsWith("afterimage ") === true) {
    return [ok("SLOT_IN_USE", `a daemon streams from ${name} (process ${active.pid} of the server)`)];
  }
  return [
    warning(
      "SLOT_IN_USE",
      `Process ${active.pid} of the server (application ${JSON.stringify(active.application ?? "")}) streams from replication slot ${name}, and it is no afterimage: changes that it confirms are lost to the stream.`,
      remedy`End that client there where it runs, or here: ${sql(`SELECT pg_terminate_backend(${active.pid});`)}`,
    ),
  ];
}
