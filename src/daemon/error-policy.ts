// What an error means for the daemon: try again, wait for the slot, or halt. Codes decide, never message text; what is
// not listed here halts.
import { AfterimageError, messageOf } from "../errors.ts";
import { isConnectionLoss } from "../source/session.ts";

export type Decision = "retry" | "standby" | "halt";

/** Passing conditions of the servers and the network. */
const RETRIED = new Set([
  "KAFKA_UNREACHABLE",
  "KAFKA_NOT_READY",
  "KAFKA_CLOSED",
  "KAFKA_OUTCOME_UNKNOWN",
  "POSTGRES_UNREACHABLE",
  "POSTGRES_NOT_READY",
  // A newer daemon took over: trying again finds the slot in use, which means standby.
  "PRODUCER_FENCED",
  // It replays late, or its primary is just away.
  "STANDBY_BEHIND",
  // Nothing was published: the position is read anew.
  "PROGRESS_MOVED",
  // The WAL guard's: a new epoch follows.
  "SLOT_GIVEN_UP",
  // SQLSTATE: a slot that went while we waited, a statement that was cancelled, a disk error, a lost race, a lock.
  "42704",
  "57014",
  "58030",
  "40001",
  "40P01",
  "55P03",
]);

/** SQLSTATE classes: connection exception, insufficient resources. */
const RETRIED_CLASSES = /^(08|53)...$/;

/** Retried once the daemon has run: then it is a rotation or a server that is coming back, not a wrong setting. */
const RETRIED_LATER = new Set([
  "POSTGRES_AUTHENTICATION_FAILED",
  "KAFKA_AUTHENTICATION_FAILED",
  "KAFKA_TLS_FAILED",
  "KAFKA_NOT_AUTHORIZED",
  // A password's file that is just being replaced.
  "CONFIG_FILE_UNREADABLE",
  // A failover is under way, or the name still points to the old primary.
  "POSTGRES_IN_RECOVERY",
  // Its last holder is just ending, or was suspended and will find itself fenced.
  "IMAGES_LOCKED",
  "WALSENDERS_EXHAUSTED",
  "SLOTS_EXHAUSTED",
  "28P01",
  "28000",
]);

const SLOT_IN_USE = "55006";

/** `hasRun`: this daemon has streamed or stood by, so that its settings are known to be right. */
export function decide(error: unknown, hasRun: boolean): Decision {
  const code = codeOf(error);
  if (code === SLOT_IN_USE) {
    return "standby";
  }
  if (code === "POSTGRES_QUERY_FAILED") {
    return decide((error as Error).cause, hasRun);
  }
  if (code !== undefined && (isPassing(code) || (hasRun && RETRIED_LATER.has(code)))) {
    return "retry";
  }
  return "halt";
}

function isPassing(code: string): boolean {
  return RETRIED.has(code) || isConnectionLoss(code) || (isSqlState(code) && RETRIED_CLASSES.test(code));
}

/** Five digits and letters; node's EPIPE is none. */
const isSqlState = (code: string): boolean => /^[0-9A-Z]{5}$/.test(code) && !/^E[A-Z]{4}$/.test(code);

/** The code of an AfterimageError, a database error (SQLSTATE) or a node error. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/** The error as an operator meets it. */
export function reported(error: unknown): AfterimageError {
  if (error instanceof AfterimageError) {
    return error;
  }
  const code = codeOf(error);
  if (code !== undefined && isSqlState(code)) {
    return new AfterimageError(
      "POSTGRES_FAILED",
      `Postgres answered with SQLSTATE ${code}: ${messageOf(error)}.`,
      "Run afterimage doctor with the same settings; it names what is missing.",
      { cause: error },
    );
  }
  if (code !== undefined && isConnectionLoss(code)) {
    return new AfterimageError(
      "POSTGRES_UNREACHABLE",
      `The connection to Postgres was lost (${code}).`,
      "Check that Postgres runs and that the network between lets idle connections live.",
      { cause: error },
    );
  }
  return new AfterimageError(
    "INTERNAL",
    `An unexpected error: ${messageOf(error)}.`,
    "Nothing is lost: the stream goes on where it was. Please report this with the log.",
    { cause: error },
  );
}
