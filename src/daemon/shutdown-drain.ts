// Postgres is being shut down: what is at hand is still published, and then the connection is let go.
import { AfterimageError } from "../errors.ts";
import type { Pipeline } from "../pipeline/pipeline.ts";
import { errorCode } from "../source/session.ts";

/** SQLSTATE of a server that is being shut down. */
const ADMIN_SHUTDOWN = "57P01";

/** Postgres's fast shutdown waits for us; longer than this we do not make it wait. */
const SHUTDOWN_DRAIN_MS = 5_000;

/** Ends the run with that error: at once, or when the server says so as it goes down, with what is at hand published. */
export function endWith(pipeline: Pipeline, error: unknown): void {
  // A query's own error wraps the server's.
  const codes = [errorCode(error), errorCode((error as Error | null)?.cause)];
  if (codes.includes(ADMIN_SHUTDOWN)) {
    drainThenFail(pipeline, error);
  } else {
    pipeline.fail(error);
  }
}

function drainThenFail(pipeline: Pipeline, error: unknown): void {
  const shutdown = new AfterimageError(
    "POSTGRES_UNREACHABLE",
    "Postgres is being shut down.",
    "The stream goes on by itself once the server is back.",
    { cause: error },
  );
  const late = setTimeout(() => pipeline.fail(shutdown), SHUTDOWN_DRAIN_MS);
  pipeline.drainThenFail(shutdown).finally(() => clearTimeout(late));
}
