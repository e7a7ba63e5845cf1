// What the server must be and have: version, WAL level, free slots and walsenders, and a replication connection that
// really opens (hosted Postgres grants it by role, so no attribute is read).
import type pg from "pg";
import { quoteIdentifier } from "../event/identifier.ts";
import { type Finding, inTurn, ok, problem, type Remedy, remedy, restart, sql, warning } from "./finding.ts";
import { attempt, connectionFinding, identity, pooler } from "./preflight-connection.ts";
import { judgeSlot, SLOT_FACTS, type SlotFacts } from "./preflight-slot.ts";
import {
  asLost,
  clientConfig,
  closeSql,
  errorCode,
  hostOf,
  isConnectionLoss,
  type PostgresSettings,
} from "./session.ts";

export interface ServerFacts {
  /** Such as 180004. */
  readonly version: number;
  readonly walLevel: string;
  /** server_encoding */
  readonly encoding: string;
  readonly inRecovery: boolean;
  readonly slots: number;
  readonly maxSlots: number;
  readonly walsenders: number;
  readonly maxWalsenders: number;
  readonly database: string;
  /** Our slot, when it is there. */
  readonly slot: SlotFacts | null;
  readonly hosting: Hosting;
  /** Whether the backend has another process id than the one announced at connect: something stands in between. */
  readonly proxied: boolean;
}

export type Hosting = "rds" | "cloudsql" | "azure" | "supabase" | "neon" | "own";

export async function readServerFacts(client: pg.Client, slot: string): Promise<ServerFacts> {
  const { rows } = await client.query(
    `SELECT current_setting('server_version_num')::int AS version,
            current_setting('wal_level') AS "walLevel",
            current_setting('server_encoding') AS encoding,
            pg_is_in_recovery() AS "inRecovery",
            (SELECT count(*)::int FROM pg_replication_slots) AS slots,
            current_setting('max_replication_slots')::int AS "maxSlots",
            (SELECT count(*)::int FROM pg_stat_replication) AS walsenders,
            current_setting('max_wal_senders')::int AS "maxWalsenders",
            current_database() AS database,
            pg_backend_pid() AS pid,
            (${SLOT_FACTS}) AS slot,
            (SELECT array_agg(rolname::text) FROM pg_roles
              WHERE rolname IN ('rds_superuser', 'cloudsqlsuperuser', 'azure_pg_admin', 'supabase_admin', 'neon_superuser')) AS roles`,
    [slot],
  );
  const { pid, roles, ...facts } = rows[0];
  const announced = (client as unknown as { processID: number | null }).processID;
  return { ...facts, hosting: hostingOf(roles ?? []), proxied: announced !== pid };
}

function hostingOf(roles: readonly string[]): Hosting {
  if (roles.includes("rds_superuser")) return "rds";
  if (roles.includes("cloudsqlsuperuser")) return "cloudsql";
  if (roles.includes("azure_pg_admin")) return "azure";
  if (roles.includes("supabase_admin")) return "supabase";
  if (roles.includes("neon_superuser")) return "neon";
  return "own";
}

/** Judges the facts; pure. `slot` is the name ours has or will have, `stream` the stream's. */
export function judgeServer(facts: ServerFacts, slot: string, stream: string): Finding[] {
  const findings: Finding[] = [judgeVersion(facts.version)];
  if (facts.inRecovery) {
    findings.push(
      problem(
        "POSTGRES_IN_RECOVERY",
        "This server is a standby: it replays another server's WAL.",
        "Put the primary's address into postgres.url; that of a standby to be read may stand in postgres.standbyUrl.",
      ),
    );
  }
  findings.push(
    facts.walLevel === "logical"
      ? ok("WAL_LEVEL", "wal_level is logical")
      : problem("WAL_LEVEL", `wal_level is ${facts.walLevel}, it must be logical.`, walLevelRemedy(facts.hosting)),
  );
  if (facts.encoding === "SQL_ASCII") {
    findings.push(
      warning(
        "POSTGRES_ENCODING",
        "The database has no encoding (SQL_ASCII): bytes that are not UTF-8 halt the daemon when it meets them.",
        "Move the data to a database made with ENCODING 'UTF8', or make sure that it holds UTF-8 only.",
      ),
    );
  }
  findings.push(...judgeSlots(facts, slot, stream));
  findings.push(
    facts.walsenders < facts.maxWalsenders
      ? ok(
          "WALSENDERS_EXHAUSTED",
          `${facts.maxWalsenders - facts.walsenders} of ${facts.maxWalsenders} walsenders are free`,
        )
      : walsendersFull(facts.maxWalsenders),
  );
  return findings;
}

/** Releases before these can lose rows written while a table is added to a publication (release notes, May 2025). */
const MINOR_FLOORS: Readonly<Record<number, number>> = { 15: 13, 16: 9, 17: 5 };

function judgeVersion(version: number): Finding {
  const major = Math.floor(version / 10_000);
  const minor = version % 10_000;
  if (major < 15) {
    return problem(
      "POSTGRES_VERSION",
      `This is PostgreSQL ${major < 10 ? Math.floor(version / 100) / 100 : major}; 15 or later is needed.`,
      "Upgrade the server.",
    );
  }
  const floor = MINOR_FLOORS[major];
  if (floor !== undefined && minor < floor) {
    return warning(
      "POSTGRES_MINOR",
      `PostgreSQL ${major}.${minor} can lose rows written while a table is added to a publication.`,
      `Update to ${major}.${floor} or later.`,
    );
  }
  return ok("POSTGRES_VERSION", `PostgreSQL ${major}.${minor}`);
}

function judgeSlots(facts: ServerFacts, name: string, stream: string): Finding[] {
  const { slot, slots, maxSlots } = facts;
  if (slot !== null) return judgeSlot(slot, { name, stream, database: facts.database });
  return slots < maxSlots
    ? [ok("SLOTS_EXHAUSTED", `${maxSlots - slots} of ${maxSlots} replication slots are free`)]
    : [
        problem(
          "SLOTS_EXHAUSTED",
          `All ${maxSlots} replication slots are taken.`,
          remedy`Make more: ${raised("max_replication_slots", maxSlots + 10)}. Or drop one nobody uses: SELECT slot_name, active FROM pg_replication_slots;`,
        ),
      ];
}

const raised = (name: string, value: number): Remedy =>
  remedy`${sql(`ALTER SYSTEM SET ${name} = ${value};`)} then restart ${restart("Postgres")}`;

const walsendersFull = (limit: number | null): Finding =>
  problem(
    "WALSENDERS_EXHAUSTED",
    limit === null ? "There is no free walsender." : `All ${limit} walsenders are taken.`,
    remedy`Allow more: ${raised("max_wal_senders", (limit ?? 10) + 10)}. Or end a replication client nobody needs: SELECT pid, application_name FROM pg_stat_replication;`,
  );

function walLevelRemedy(hosting: Hosting): Remedy | string {
  switch (hosting) {
    case "rds":
      return "Set rds.logical_replication = 1 in the parameter group, then reboot the instance.";
    case "cloudsql":
      return "Set the flag cloudsql.logical_decoding = on for the instance; it restarts.";
    case "azure":
      return "Set the server parameter wal_level to logical, then restart the server.";
    case "neon":
      return "Switch on logical replication in the project's settings.";
    case "supabase":
    case "own":
      return remedy`${sql("ALTER SYSTEM SET wal_level = logical;")} then restart ${restart("Postgres")}.`;
    default:
      return hosting satisfies never;
  }
}

/** Opens a replication connection and asks IDENTIFY_SYSTEM over it: the one test that counts everywhere. */
export async function checkReplication(settings: PostgresSettings, facts: ServerFacts): Promise<Finding> {
  const config = { ...clientConfig(settings, "afterimage preflight"), replication: "database" };
  const opened = await attempt(config as pg.ClientConfig);
  if ("client" in opened) {
    try {
      await opened.client.query("IDENTIFY_SYSTEM");
    } catch (error) {
      return judgeRefusedCommand(settings, error);
    } finally {
      await closeSql(opened.client);
    }
    return facts.proxied
      ? warning(
          "POSTGRES_POOLER",
          "Something stands between this client and Postgres (a pooler or proxy), though replication passes through.",
          "Use the server's own address if there is one; a pooler must be in session mode.",
        )
      : ok("REPLICATION_REFUSED", "a replication connection opens");
  }
  switch (errorCode(opened.error)) {
    case "42501":
    case "28000":
      return problem(
        "REPLICATION_REFUSED",
        `User ${identity(settings.url).user} may not replicate (SQLSTATE ${errorCode(opened.error)}).`,
        roleRemedy(facts.hosting, identity(settings.url).user),
      );
    case "53300":
      return walsendersFull(facts.maxWalsenders);
    case "08P01":
    case undefined:
      if (facts.proxied) return pooler(hostOf(settings.url), "it refuses replication connections");
      break;
    default:
      break;
  }
  return connectionFinding(opened, settings, 0);
}

/** Why IDENTIFY_SYSTEM failed. An error without a code is a connection that ended without a word. */
export function judgeRefusedCommand(settings: PostgresSettings, error: unknown): Finding {
  const code = errorCode(error) ?? asLost(error as Error).code;
  const host = hostOf(settings.url);
  if (isConnectionLoss(code)) {
    return problem(
      "POSTGRES_UNREACHABLE",
      `Postgres at ${host} ended the replication connection while it was being checked (${code}).`,
      "Check that the server runs and stays up; its log says why it ended the connection.",
    );
  }
  // A proxy that dropped the wish for replication hands the command to an ordinary backend.
  return pooler(host, `it takes no replication commands (${code})`);
}

function roleRemedy(hosting: Hosting, user: string): Remedy {
  const role = quoteIdentifier(user);
  if (hosting === "rds") return inTurn([sql(`GRANT rds_replication TO ${role};`)]);
  const who = hosting === "own" ? "" : " or the provider's administrator";
  return remedy`${sql(`ALTER ROLE ${role} REPLICATION;`)} (as a superuser${who}); if it may already, pg_hba.conf must have a line for it.`;
}
