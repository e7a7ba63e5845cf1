// A hot standby that holds the slot in the primary's place: what must hold of it, and how it is helped.
// https://www.postgresql.org/docs/current/logicaldecoding-explanation.html#LOGICALDECODING-REPLICATION-SLOTS
import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { AfterimageError } from "../errors.ts";
import { alterSystem, type Finding, findingsError, ok, problem, remedy } from "./finding.ts";
import { nudge } from "./nudge.ts";
import { readPublication } from "./publication.ts";
import { errorCode, isConnectionLoss } from "./session.ts";

export interface StandbyFacts {
  readonly inRecovery: boolean;
  readonly systemId: string;
  /** OID of the connected database. */
  readonly database: number;
  /** Such as 180004. */
  readonly version: number;
  /** hot_standby_feedback */
  readonly feedback: boolean;
}

export async function readStandbyFacts(client: pg.Client): Promise<StandbyFacts> {
  const { rows } = await client.query(
    `SELECT pg_is_in_recovery() AS "inRecovery", system_identifier::text AS "systemId",
            (SELECT oid FROM pg_database WHERE datname = current_database()) AS database,
            current_setting('server_version_num')::int AS version,
            current_setting('hot_standby_feedback')::bool AS feedback
       FROM pg_control_system()`,
  );
  return rows[0];
}

const SINCE = 160_000;

/**
 * Whether the server of postgres.standbyUrl can stand in for the primary; pure. Codes: STANDBY_UNSUPPORTED,
 * SERVER_FOREIGN, STANDBY_PROMOTED, STANDBY_FEEDBACK.
 */
export function judgeStandby(standby: StandbyFacts, primary: Pick<StandbyFacts, "systemId" | "database">): Finding[] {
  if (standby.version < SINCE) {
    return [
      problem(
        "STANDBY_UNSUPPORTED",
        `postgres.standbyUrl names a server of PostgreSQL ${Math.trunc(standby.version / 10_000)}; a standby can be read from PostgreSQL 16 on.`,
        "Take postgres.standbyUrl out: the changes are then read from the primary. Or upgrade Postgres.",
      ),
    ];
  }
  if (standby.systemId !== primary.systemId || standby.database !== primary.database) {
    return [
      problem(
        "SERVER_FOREIGN",
        `postgres.standbyUrl names another ${standby.systemId === primary.systemId ? "database" : "server"} than postgres.url.`,
        "Put a standby of that server, and the same database, into postgres.standbyUrl.",
      ),
    ];
  }
  if (!standby.inRecovery) {
    return [promoted()];
  }
  return standby.feedback
    ? [ok("STANDBY_PROMOTED", "the changes are read from a standby (postgres.standbyUrl)")]
    : [
        problem(
          "STANDBY_FEEDBACK",
          "hot_standby_feedback is off on the standby: the primary's VACUUM removes rows of the catalogue that the slot still needs, and the slot is lost.",
          remedy`On the standby: ${alterSystem("hot_standby_feedback", "on")} Give the standby a physical slot as well (primary_slot_name): without one the feedback is forgotten while it is away.`,
        ),
      ];
}

const promoted = (): Finding =>
  problem(
    "STANDBY_PROMOTED",
    "The server of postgres.standbyUrl is no standby: it was promoted, or never was one.",
    "If it has taken the primary's place, put its address into postgres.url and take postgres.standbyUrl out: the stream goes on from the slot there. Otherwise name a standby of the primary.",
  );

/**
 * Throws STANDBY_PROMOTED. What was received before the server said that it is a standby came from the WAL that it has in
 * common with the primary: a walsender reads its own only once the recovery is over.
 */
export async function demandStandby(client: pg.Client): Promise<void> {
  const { rows } = await client.query("SELECT pg_is_in_recovery() AS standby");
  if (rows[0].standby !== true) throw findingsError([promoted()]);
}

/** Throws the first thing that `judgeStandby` finds. */
export async function checkStandby(standby: pg.Client, primary: pg.Client): Promise<void> {
  const error = findingsError(judgeStandby(await readStandbyFacts(standby), await readStandbyFacts(primary)));
  if (error !== null) throw error;
}

const LOOK_EVERY_MS = 100;

/**
 * Resolves once the standby has the publication as the primary has it: a slot that is made earlier would meet changes
 * of which it can't say whether they are published. Throws STANDBY_BEHIND.
 */
export async function awaitPublication(
  standby: pg.Client,
  primary: pg.Client,
  publication: string,
  patienceMs: number,
): Promise<void> {
  const wanted = await readPublication(primary, publication);
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const there = await readPublication(standby, publication);
    if (there?.oid === wanted?.oid && there?.xmin === wanted?.xmin) return;
    if (performance.now() > deadline) {
      throw new AfterimageError(
        "STANDBY_BEHIND",
        `The standby does not have publication ${publication} as the primary has it: it replays too late, or not at all.`,
        "Look at pg_stat_wal_receiver and pg_last_wal_replay_lsn() on the standby; the daemon tries again.",
      );
    }
    await sleep(LOOK_EVERY_MS);
  }
}

const HELP_EVERY_MS = 500;
const INSUFFICIENT_PRIVILEGE = "42501";

/**
 * Awaits `making`, a slot on the standby: it is done once the standby replays a record of the primary's open
 * transactions, which an idle primary does not write. Who may not ask for one writes a commit, upon which the primary
 * does so within 15 s.
 */
export async function withStandbySnapshots<T>(primary: pg.Client, making: Promise<T>): Promise<T> {
  const over = new AbortController();
  making.finally(() => over.abort()).catch(() => undefined); // whoever awaits it is told
  while (!over.signal.aborted) {
    try {
      await primary.query("SELECT pg_log_standby_snapshot()").catch(async (error) => {
        if (errorCode(error) !== INSUFFICIENT_PRIVILEGE) throw error;
        await nudge(primary);
      });
    } catch (error) {
      if (isConnectionLoss(errorCode(error) ?? "")) break; // the session hears of it by itself
      throw error;
    }
    await sleep(HELP_EVERY_MS, undefined, { signal: over.signal }).catch(() => undefined); // it is made
  }
  return making;
}
