// Settings of server and role that don't stop a start, and end a stream later: how much WAL a slot may keep, how long a
// silent client lives, standbys that are waited for, transactions that making the slot would wait for.
// https://www.postgresql.org/docs/current/runtime-config-replication.html
import type pg from "pg";
import { quoteIdentifier } from "../event/identifier.ts";
import { alterSystem, type Finding, inTurn, note, remedy, sql, warning } from "./finding.ts";

export interface SettingFacts {
  /** MB of WAL that a slot may keep; -1: any amount. */
  readonly maxSlotWalKeepSize: number;
  /** MB of WAL that is kept in any case. */
  readonly walKeepSize: number;
  /** MB of WAL between checkpoints. */
  readonly maxWalSize: number;
  /** Milliseconds; 0: never. */
  readonly walSenderTimeout: number;
  /** Where it was set, as in pg_settings. */
  readonly walSenderTimeoutSource: string;
  /** 18 and later, such as `1d`; null when off or unknown to this server. */
  readonly idleSlotTimeout: string | null;
  /** 17 and later. */
  readonly synchronizedStandbySlots: string;
  readonly user: string;
  readonly database: string;
  /** Connections that the role may have; -1: any number, as for a superuser. */
  readonly connectionLimit: number;
  /** Days until its password is refused; null: never. */
  readonly validForDays: number | null;
  /** Names of physical slots, and whether a standby streams from each. */
  readonly physicalSlots: Readonly<Record<string, boolean>>;
  /** Transactions with writes that are open for longer than was asked for. */
  readonly blockers: readonly {
    readonly pid: number | null;
    readonly prepared: string | null;
    readonly since: string;
  }[];
}

const READ = `
  WITH s AS (SELECT name, setting, source FROM pg_settings)
  SELECT (SELECT setting::int FROM s WHERE name = 'max_slot_wal_keep_size') AS "maxSlotWalKeepSize",
         (SELECT setting::int FROM s WHERE name = 'wal_keep_size') AS "walKeepSize",
         (SELECT setting::int FROM s WHERE name = 'max_wal_size') AS "maxWalSize",
         (SELECT setting::int FROM s WHERE name = 'wal_sender_timeout') AS "walSenderTimeout",
         (SELECT source FROM s WHERE name = 'wal_sender_timeout') AS "walSenderTimeoutSource",
         (SELECT current_setting(name) FROM s WHERE name = 'idle_replication_slot_timeout' AND setting <> '0') AS "idleSlotTimeout",
         coalesce(current_setting('synchronized_standby_slots', true), '') AS "synchronizedStandbySlots",
         current_user AS "user", current_database() AS database,
         (SELECT CASE WHEN rolsuper THEN -1 ELSE rolconnlimit END FROM pg_roles WHERE rolname = current_user) AS "connectionLimit",
         (SELECT extract(epoch FROM nullif(rolvaliduntil, 'infinity') - now())::float8 / 86400 FROM pg_roles WHERE rolname = current_user) AS "validForDays",
         coalesce((SELECT json_object_agg(slot_name, active) FROM pg_replication_slots WHERE slot_type = 'physical'), '{}') AS "physicalSlots",
         coalesce((SELECT json_agg(b) FROM (
             SELECT NULL::int AS pid, gid AS prepared, prepared::text AS since FROM pg_prepared_xacts
              WHERE prepared < now() - make_interval(secs => $1)
             UNION ALL
             SELECT pid, NULL, xact_start::text FROM pg_stat_activity
              WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() AND xact_start < now() - make_interval(secs => $1)) b), '[]') AS blockers`;

/** `patienceMs`: how long a transaction may be open before it counts as one that blocks. */
export async function readSettingFacts(client: pg.Client, patienceMs: number): Promise<SettingFacts> {
  return (await client.query(READ, [patienceMs / 1000])).rows[0];
}

export interface SettingTarget {
  readonly slot: string;
  readonly hasSlot: boolean;
  /** Standbys keep a copy of it; null while it isn't there. */
  readonly failover: boolean;
  /** Connections that the daemon opens at most. */
  readonly connections: number;
}

/** Judges them; pure. */
export function judgeSettings(facts: SettingFacts, target: SettingTarget): Finding[] {
  return [
    ...judgeKeepSize(facts),
    ...judgeSenderTimeout(facts),
    ...judgeIdleTimeout(facts, target),
    ...judgeStandbySlots(facts, target),
    ...judgeRole(facts, target),
    ...(target.hasSlot ? [] : judgeBlockers(facts, target)),
  ];
}

function judgeKeepSize({ maxSlotWalKeepSize, walKeepSize, maxWalSize }: SettingFacts): Finding[] {
  if (maxSlotWalKeepSize < 0) {
    return [
      note(
        "SLOT_WAL_UNBOUNDED",
        "max_slot_wal_keep_size is -1: while the daemon or Kafka is away, the slot keeps WAL until the server's disk is full.",
        remedy`Bound it by what the disk has to spare, and by the longest outage that the stream shall outlive, such as: ${alterSystem("max_slot_wal_keep_size", "'64GB'")}`,
      ),
    ];
  }
  // The server never keeps less than wal_keep_size, whatever the other one says.
  const kept = Math.max(maxSlotWalKeepSize, walKeepSize);
  if (kept >= maxWalSize) return [];
  return [
    warning(
      "SLOT_WAL_SHORT",
      `max_slot_wal_keep_size lets a slot keep ${kept} MB, less than the server writes between two checkpoints (max_wal_size, ${maxWalSize} MB): a short outage loses the stream.`,
      remedy`Choose what covers your longest outage, such as: ${alterSystem("max_slot_wal_keep_size", `'${Math.max(10_240, 4 * maxWalSize)}MB'`)}`,
    ),
  ];
}

/** The daemon answers every half second; what is below this ends connections over a pause of the machine. */
const LEAST_TIMEOUT_MS = 5_000;

function judgeSenderTimeout({ walSenderTimeout, walSenderTimeoutSource, user, database }: SettingFacts): Finding[] {
  if (walSenderTimeout >= LEAST_TIMEOUT_MS) return [];
  const why =
    walSenderTimeout === 0
      ? "wal_sender_timeout is 0 for this user: a daemon's machine that vanishes keeps the slot for ever, and no other one can take over."
      : `wal_sender_timeout is ${walSenderTimeout} ms for this user: every short pause of machine or network ends the connection.`;
  const where = walSenderTimeoutSource === "database user" ? ` IN DATABASE ${quoteIdentifier(database)}` : "";
  return [
    warning(
      "SENDER_TIMEOUT",
      why,
      inTurn([sql(`ALTER ROLE ${quoteIdentifier(user)}${where} SET wal_sender_timeout = '60s';`)]),
    ),
  ];
}

function judgeIdleTimeout({ idleSlotTimeout }: SettingFacts, { slot }: SettingTarget): Finding[] {
  if (idleSlotTimeout === null) return [];
  return [
    warning(
      "SLOT_IDLE_TIMEOUT",
      `idle_replication_slot_timeout is ${idleSlotTimeout}: a daemon that is stopped for longer has lost slot ${slot}, and with it the stream.`,
      remedy`Switch it off, and bound WAL by max_slot_wal_keep_size: ${alterSystem("idle_replication_slot_timeout", "0")}`,
    ),
  ];
}

function judgeStandbySlots(facts: SettingFacts, { slot, failover }: SettingTarget): Finding[] {
  const named = facts.synchronizedStandbySlots
    .split(",")
    .map((name) => name.trim().replaceAll('"', ""))
    .filter((name) => name !== "");
  const stale = named.filter((name) => facts.physicalSlots[name] !== true);
  if (stale.length > 0) {
    const rest = named.filter((name) => !stale.includes(name));
    const says = stale.map(
      (name) => `${name} (${name in facts.physicalSlots ? "no standby streams from it" : "no such slot"})`,
    );
    const effect = failover
      ? `nothing is sent from ${slot} until they are up to date, without an error`
      : "a slot that can fail over would stand still without an error";
    return [
      warning(
        "STANDBY_SLOT_STALE",
        `synchronized_standby_slots names ${says.join(", ")}: ${effect}.`,
        remedy`Start that standby; or, when it is gone for good, take it out: ${alterSystem("synchronized_standby_slots", `'${rest.join(", ")}'`)}`,
      ),
    ];
  }
  if (named.length === 0 || failover) return [];
  return [
    note(
      "SLOT_NO_FAILOVER",
      `Standbys are kept in step (synchronized_standby_slots), but slot ${slot} can't fail over: after a promotion the stream is lost.`,
      "Before the first start make the slot with failover => true; afterimage init --failover writes that.",
    ),
  ];
}

const EXPIRY_DAYS = 14;

function judgeRole({ user, connectionLimit, validForDays }: SettingFacts, { connections }: SettingTarget): Finding[] {
  const findings: Finding[] = [];
  const role = quoteIdentifier(user);
  if (connectionLimit >= 0 && connectionLimit < connections) {
    findings.push(
      warning(
        "ROLE_CONNECTIONS",
        `User ${user} may have ${connectionLimit} connections; a daemon with a standby opens up to ${connections}.`,
        inTurn([sql(`ALTER ROLE ${role} CONNECTION LIMIT ${connections};`)]),
      ),
    );
  }
  if (validForDays !== null && validForDays < EXPIRY_DAYS) {
    findings.push(
      warning(
        "ROLE_EXPIRES",
        `The password of user ${user} ${validForDays < 0 ? "has expired" : `expires in ${Math.floor(validForDays)} days`}: no new connection is let in then.`,
        inTurn([sql(`ALTER ROLE ${role} VALID UNTIL 'infinity';`)]),
      ),
    );
  }
  return findings;
}

function judgeBlockers({ blockers }: SettingFacts, { slot }: SettingTarget): Finding[] {
  return blockers.map(({ pid, prepared, since }) =>
    warning(
      "SLOT_BLOCKED",
      `Making replication slot ${slot} waits for ${prepared === null ? `the transaction of process ${pid}` : `the prepared transaction ${prepared}`}, open since ${since}.`,
      prepared === null
        ? remedy`End it where it runs, or: ${sql(`SELECT pg_terminate_backend(${pid});`)}`
        : remedy`Commit it, or: ${sql(`ROLLBACK PREPARED '${prepared.replaceAll("'", "''")}';`)}`,
    ),
  );
}
