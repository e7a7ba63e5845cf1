// Postgres is being shut down: what is at hand is still published, and then the connection is let go.
import { AfterimageError } from "../errors.ts";
import type { Pipeline } from "../pipeline/pipeline.ts";

/** SQLSTATE of a server that is being shut down. */
export const ADMIN_SHUTDOWN = "57P01";

/** Postgres's fast shutdown waits for us; longer than this we do not make it wait. */
const SHUTDOWN_DRAIN_MS = 5_000;

export function drainThenFail(pipeline: Pipeline, error: Error): void {
  const shutdown = new AfterimageError(
    "POSTGRES_UNREACHABLE",
    "Postgres is being shut down.",
    "The stream goes on by itself once the server is back.",
    { cause: error },
  );
  const late = setTimeout(() => pipeline.fail(shutdown), SHUTDOWN_DRAIN_MS);
  pipeline.drainThenFail(shutdown).finally(() => clearTimeout(late));
}
