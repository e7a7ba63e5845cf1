// Whether what came into the database by replication is sent on.
// https://www.postgresql.org/docs/current/protocol-logical-replication.html#PROTOCOL-LOGICAL-REPLICATION-PARAMS
import { type Finding, ok, problem } from "./finding.ts";

/** `none`: only transactions that have no replication origin, which are those that were written here. */
export type Origin = "any" | "none";

const SINCE = 16;

/** Whether the server knows the option; `version` such as 180004. Code: ORIGIN_UNSUPPORTED. */
export function judgeOrigin(origin: Origin, version: number): Finding[] {
  if (origin === "any") return [];
  const major = Math.trunc(version / 10_000);
  return [
    major < SINCE
      ? problem(
          "ORIGIN_UNSUPPORTED",
          `postgres.origin is none, and this is PostgreSQL ${major}; it takes ${SINCE} or later.`,
          "Set postgres.origin to any: changes that came by replication are then in the topics too. Or upgrade Postgres.",
        )
      : ok("ORIGIN_UNSUPPORTED", "changes that came by replication are left out (postgres.origin: none)"),
  ];
}
