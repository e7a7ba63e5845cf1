// Helps an idle server on.
import type pg from "pg";

/** Writes a commit that nobody waits for, so that an idle server writes its WAL out and the stream goes on. */
export async function nudge(client: pg.Client): Promise<void> {
  await client.query("BEGIN READ WRITE; SET LOCAL synchronous_commit = off; SELECT pg_current_xact_id(); COMMIT");
}
