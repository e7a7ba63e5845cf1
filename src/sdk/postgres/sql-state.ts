// What a failure of Postgres says of the statement's fate, by SQLSTATE: nothing happened, or nobody knows.
// https://www.postgresql.org/docs/current/errcodes-appendix.html
import { AfterimageError, messageOf } from "../../errors.ts";

/** The SQLSTATE of a thrown error of node-postgres; undefined for any other, such as a lost connection. */
export function sqlStateOf(thrown: unknown): string | undefined {
  const code = thrown instanceof Error && "code" in thrown ? thrown.code : undefined;
  return typeof code === "string" && /^[0-9A-Z]{5}$/.test(code) && "severity" in (thrown as Error) ? code : undefined;
}

// Classes connection exception, operator intervention, system error, internal error. Of operator intervention a cancelled
// statement (57014) is no doubt: it was rolled back.
const DOUBT = /^(08|57P|58|XX)/;

/**
 * What to throw when the statement that commits has failed with `cause`: the cause itself when Postgres said no, else
 * OUTCOME_UNKNOWN.
 */
export function atCommit(cause: unknown, advice: string): unknown {
  const state = sqlStateOf(cause);
  const isLost = cause instanceof AfterimageError ? cause.code === "POSTGRES_UNREACHABLE" : state === undefined;
  const decided = !isLost && !DOUBT.test(state ?? "");
  return decided
    ? cause
    : new AfterimageError(
        "OUTCOME_UNKNOWN",
        `A transaction was being committed when this came: ${messageOf(cause)} It is committed or it is not, and only the database can tell.`,
        advice,
        { cause },
      );
}
